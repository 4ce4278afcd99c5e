# frozen_string_literal: true

module TokenAuthority
  # Reads the variables that describe a connection.
  module Environment
    # The variable of each option.
    NAMES = {
      address: "ADDRESS", api_key: "API_KEY", api_key_file: "API_KEY_FILE", token_file: "TOKEN_FILE",
      cert_file: "CLIENT_CERT_FILE", key_file: "CLIENT_KEY_FILE", ca_file: "CA_FILE", plaintext: "PLAINTEXT",
      project_id: "PROJECT_ID", timeout: "TIMEOUT"
    }.transform_values { |name| "TOKENAUTHORITY_#{name}" }.freeze

    FLAGS = { **%w[1 true yes on t y].to_h { |word| [word, true] }, **%w[0 false no off f n].to_h { |word| [word, false] } }.freeze
    private_constant :FLAGS

    # Return the options of Connection.new that *variables* describe; an empty one counts as not set.
    #
    # Raises ArgumentError that names the variable.
    def self.options(variables)
      found = NAMES.transform_values { |name| variables[name] }.reject { |_, value| value.nil? || value.empty? }
      found[:plaintext] = flag(found[:plaintext]) if found[:plaintext]
      # What is no number stays a text, which Connection refuses.
      found[:timeout] = Float(found[:timeout], exception: false) || found[:timeout] if found[:timeout]
      { address: "", names: NAMES, **found }
    end

    def self.flag(text)
      FLAGS.fetch(text.strip.downcase) do
        raise ArgumentError, "#{NAMES[:plaintext]} must be one of 1, true, yes, on, 0, false, no, off"
      end
    end
    private_class_method :flag
  end
end
