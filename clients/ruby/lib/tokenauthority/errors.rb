# frozen_string_literal: true

module TokenAuthority
  # One invalid field of a request: its path, such as `requests[17].role`, and what is wrong with it.
  Violation = Struct.new(:field, :problem)

  # A failed call, of a class by its status. `message` is for a person; `code` and `reason` are for programs.
  class Error < StandardError
    # The gRPC status, such as :NOT_FOUND.
    attr_reader :code
    # The contract's ErrorReason, such as "ROLE_NOT_GRANTED"; empty if no authority answered.
    attr_reader :reason
    # The invalid fields of the request.
    attr_reader :violations
    # Seconds to wait before a retry; nil if the authority did not say.
    attr_reader :retry_after
    # The id of the call in the authority's logs; empty if no authority answered.
    attr_reader :request_id
    # Facts beside the reason, such as the limit that the call is beyond.
    attr_reader :metadata

    def initialize(message, code: self.class::CODE, info: nil, violations: [], retry_after: nil, request_id: nil)
      super(message)
      @code = code
      @reason = info ? info.reason : ""
      @metadata = info ? info.metadata.to_h : {}
      @violations = violations
      @retry_after = retry_after
      @request_id = request_id || @metadata["request_id"] || ""
    end

    # Any status without a class of its own.
    CODE = :UNKNOWN

    # Return what gRPC raised as an Error.
    def self.from(error)
      code = CODES.fetch(error.code, :UNKNOWN)
      details = details_of(error)
      delay = details[Google::Rpc::RetryInfo]&.retry_delay
      violations = details[Google::Rpc::BadRequest]&.field_violations.to_a
      CLASSES.fetch(code, Error).new(
        error.details, code: code, info: details[Google::Rpc::ErrorInfo], retry_after: delay && [delay.to_f, 0.0].max,
                       violations: violations.map { |found| Violation.new(found.field, found.description) },
                       request_id: error.metadata["x-request-id"]
      )
    end

    # Raise Errors for what gRPC raises in the block.
    def self.translate
      yield
    rescue GRPC::BadStatus => e
      raise from(e)
    end

    CODES = GRPC::Core::StatusCodes.constants.to_h { |name| [GRPC::Core::StatusCodes.const_get(name), name] }.freeze
    KINDS = [Google::Rpc::ErrorInfo, Google::Rpc::BadRequest, Google::Rpc::RetryInfo].freeze
    private_constant :CODES, :KINDS

    # The details by their type. What a proxy garbled counts as none.
    def self.details_of(error)
      packed = error.to_rpc_status&.details.to_a
      KINDS.to_h { |kind| [kind, packed.find { |any| any.is(kind) }&.unpack(kind)] }
    rescue Google::Protobuf::ParseError
      {}
    end
    private_class_method :details_of
  end

  # A field of the request is missing, malformed or beyond its limit.
  class InvalidArgument < Error; CODE = :INVALID_ARGUMENT; end
  # The credential is missing or invalid.
  class Unauthenticated < Error; CODE = :UNAUTHENTICATED; end
  # The grant of the caller does not allow the call.
  class PermissionDenied < Error; CODE = :PERMISSION_DENIED; end
  # The object does not exist.
  class NotFound < Error; CODE = :NOT_FOUND; end
  # The object exists already, or the request id was used with another body.
  class AlreadyExists < Error; CODE = :ALREADY_EXISTS; end
  # The object is not in the state that the call needs.
  class FailedPrecondition < Error; CODE = :FAILED_PRECONDITION; end
  # Too many calls or too large messages; the reason says which.
  class ResourceExhausted < Error; CODE = :RESOURCE_EXHAUSTED; end
  # The authority cannot be reached, or cannot serve the call now.
  class Unavailable < Error; CODE = :UNAVAILABLE; end
  # No answer came in time. The call may have taken effect.
  class DeadlineExceeded < Error; CODE = :DEADLINE_EXCEEDED; end

  Error::CLASSES = Error.subclasses.to_h { |kind| [kind::CODE, kind] }.freeze
end
