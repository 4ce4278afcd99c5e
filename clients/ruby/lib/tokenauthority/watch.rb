# frozen_string_literal: true

module TokenAuthority
  # Revocations and ended sessions without a gap: a stream that breaks off is opened again after its last message.
  #
  # Messages may repeat, and none is missed. One reader at a time; another thread may call `close`.
  class Watch
    include Enumerable

    TEMPORARY = [:UNAVAILABLE, :CANCELLED, :RESOURCE_EXHAUSTED].freeze
    TEMPORARY_WITHOUT_REASON = [:INTERNAL, :UNKNOWN].freeze
    private_constant :TEMPORARY, :TEMPORARY_WITHOUT_REASON

    # Where the next stream resumes: after the last message that was yielded.
    attr_reader :resume_token

    # The block opens one stream after a resume token: an operation of gRPC.
    def initialize(resume_token, on_lost, silence: 90, &open)
      @resume_token, @on_lost, @silence, @open = resume_token, on_lost, silence, open
      @mutex, @closing, @closed = Mutex.new, ConditionVariable.new, false
      @attempts = 0
    end

    # Yield each message of WatchRevocations, until `close`.
    #
    # Raises an Error that another attempt would meet too, or one of code :UNIMPLEMENTED for an event that this version
    # does not know.
    def each(&block)
      return enum_for(:each) unless block

      until @closed
        begin
          read_stream(&block)
          raise Unavailable, "the stream was closed"
        rescue Error => e
          break if @closed
          raise unless temporary?(e)

          pause_after(e)
        end
      end
    end

    # End the watch, also while `each` waits.
    def close
      @mutex.synchronize do
        @closed = true
        @closing.broadcast
      end
      @operation&.cancel
    end

    private

    def read_stream
      caught_up = false
      Error.translate do
        @operation = @open.call(@resume_token)
        silence = cancel_when_silent(@operation)
        @operation.cancel if @closed
        @operation.execute.each do |message|
          @waiting_since = nil
          require_known(message)
          yield message
          @resume_token = message.resume_token
          caught_up ||= message.event == :snapshot_end
          # Not before: an authority that breaks off right after what is in force must not be asked for it without a pause.
          @attempts = 0 if caught_up && message.event == :heartbeat
          @waiting_since = now
        end
      rescue GRPC::Core::CallError
        # What gRPC makes of a call that was cancelled before its server answered.
        raise Unavailable, "the call was cancelled"
      ensure
        silence&.kill
        @operation&.cancel
      end
    end

    # gRPC waits for a message without a limit, so a thread cancels the call that has fallen silent.
    def cancel_when_silent(operation)
      @waiting_since = now
      Thread.new do
        sleep [1.0, @silence / 4.0].min until now - (@waiting_since || now) > @silence
        operation.cancel
      end
    end

    def require_known(message)
      return if message.event && (message.event != :revocation || message.revocation.target)

      raise Error.new("an event that this version of the client does not know: update it", code: :UNIMPLEMENTED)
    end

    # Without a reason the error comes from a proxy or the network.
    def temporary?(error)
      TEMPORARY.include?(error.code) || (error.reason.empty? && TEMPORARY_WITHOUT_REASON.include?(error.code))
    end

    def pause_after(error)
      pause = [error.retry_after || 0, 60].min + (rand * [10.0, 0.25 * (2**@attempts)].min)
      @attempts = [@attempts + 1, 16].min
      @on_lost&.call(error, pause)
      @mutex.synchronize { @closing.wait(@mutex, pause) unless @closed }
    end

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
end
