# frozen_string_literal: true

# Controllers as the OpenTok documentation has them: only the require line is another one, and what the two values mean.
# `api_key` is the project's id, and `api_secret` an API key of the authority. TOKENAUTHORITY_ADDRESS says where it is.
require "tokenauthority/opentok"

ApplicationController = Class.new unless defined?(ApplicationController)

# A token with the defaults, for a session id.
class RoomController < ApplicationController
  def show
    opentok = OpenTok::OpenTok.new ENV.fetch("API_KEY"), ENV.fetch("API_SECRET")
    session = opentok.create_session
    session_id = session.session_id
    opentok.generate_token session_id
  end
end

# A token from the session object, with a role and connection data.
class HostController < ApplicationController
  def show
    opentok = OpenTok::OpenTok.new ENV.fetch("API_KEY"), ENV.fetch("API_SECRET")
    session = opentok.create_session :media_mode => :routed, :archive_mode => :always, :archive_name => "lesson"
    session.generate_token({ :role => :moderator, :data => "username=bob" })
  end
end

# A token that expires in an hour, with layout classes.
class GuestController < ApplicationController
  def show
    opentok = OpenTok::OpenTok.new ENV.fetch("API_KEY"), ENV.fetch("API_SECRET")
    session = opentok.create_session :location => "12.34.56.78"
    opentok.generate_token session.session_id, { :role => :publisher, :data => "username=eve",
                                                 :expire_time => Time.now.to_i + 3600,
                                                 :initial_layout_class_list => ["focus", "inactive"] }
  end
end

[RoomController, HostController, GuestController].each { |controller| puts controller.new.show } if $PROGRAM_NAME == __FILE__
