import io.github.tokenauthority.client.Authority;
import io.github.tokenauthority.client.AuthorityException;
import io.github.tokenauthority.client.SessionOptions;
import io.github.tokenauthority.client.TokenOptions;
import io.github.tokenauthority.client.VerifyOptions;
import io.github.tokenauthority.v1.MediaMode;
import java.time.Duration;

/** Creates a session, generates a token for it and verifies the token. */
public class Quickstart {
  public static void main(String[] arguments) {
    try (var authority = Authority.fromEnvironment()) {
      var session = authority.createSession(SessionOptions.builder().mediaMode(MediaMode.MEDIA_MODE_ROUTED).build());
      var token =
          session.generateToken(
              TokenOptions.builder().role("publisher").data("username=bob").ttl(Duration.ofHours(1)).build());
      System.out.println(token.token());

      var verified = authority.verifyToken(token.token(), VerifyOptions.DEFAULT);
      System.out.println(verified.getActive() + " " + verified.getClaims().getData());

      session.generateToken(TokenOptions.builder().role("king").build());
    } catch (AuthorityException refused) {
      System.out.println(refused.reason());
    }
  }
}
