package io.github.tokenauthority.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/** A failed call: code and reason are for programs, the message is for a person. It holds neither a token nor an API key. */
public final class AuthorityException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final Status.Code code;
  private final String reason;
  private final transient List<Violation> violations;
  private final Duration retryAfter;
  private final transient Map<String, String> metadata;

  /**
   * One invalid field of a request.
   *
   * @param field its path, such as {@code requests[17].role}
   * @param problem what is wrong with it
   */
  public record Violation(String field, String problem) {}

  AuthorityException(Status.Code code, String message, Throwable cause) {
    this(code, message, ErrorInfo.getDefaultInstance(), List.of(), null, cause);
  }

  private AuthorityException(
      Status.Code code, String message, ErrorInfo info, List<Violation> violations, Duration retryAfter, Throwable cause) {
    super(message, cause);
    this.code = code;
    this.reason = info.getReason();
    this.metadata = info.getMetadataMap();
    this.violations = violations;
    this.retryAfter = retryAfter;
  }

  /**
   * Makes a call of a stub, and throws an AuthorityException for its StatusRuntimeException.
   *
   * @param call such as {@code () -> authority.roles().listRoles(request)}
   * @return the answer
   */
  public static <T> T translate(Supplier<T> call) {
    try {
      return call.get();
    } catch (StatusRuntimeException failure) {
      throw of(failure);
    }
  }

  /** Returns the AuthorityException that says what gRPC's exception says, for calls of asynchronous stubs. */
  public static AuthorityException of(StatusRuntimeException failure) {
    var info = ErrorInfo.getDefaultInstance();
    var violations = new ArrayList<Violation>();
    Duration retryAfter = null;
    try {
      var status = StatusProto.fromThrowable(failure);
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          info = detail.unpack(ErrorInfo.class);
        } else if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList()
              .forEach(each -> violations.add(new Violation(each.getField(), each.getDescription())));
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Duration.ofSeconds(Math.max(0, delay.getSeconds()), Math.max(0, delay.getNanos()));
        }
      }
    } catch (InvalidProtocolBufferException | IllegalArgumentException garbled) {
      // A proxy garbled the details: code and message are left.
      failure.addSuppressed(garbled);
    }
    var code = failure.getStatus().getCode();
    var message = Optional.ofNullable(failure.getStatus().getDescription()).orElse(code.name());
    return new AuthorityException(code, message, info, List.copyOf(violations), retryAfter, failure);
  }

  /** Returns the status of gRPC. */
  public Status.Code code() {
    return code;
  }

  /** Returns the name of an ErrorReason of the contract, such as ROLE_NOT_GRANTED; empty if no authority answered. */
  public String reason() {
    return reason;
  }

  /** Returns the invalid fields of the request. */
  public List<Violation> violations() {
    return violations == null ? List.of() : violations;
  }

  /** Returns how long to wait before a retry; empty if the authority did not say. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** Returns the id of the call in the authority's logs; empty if no authority answered. */
  public String requestId() {
    return metadata().getOrDefault("request_id", "");
  }

  /** Returns facts beside the reason, such as the limit that the call is beyond. */
  public Map<String, String> metadata() {
    return metadata == null ? Map.of() : metadata;
  }
}
