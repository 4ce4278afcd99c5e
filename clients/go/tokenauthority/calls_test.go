package tokenauthority

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

// scripted answers as a test says.
type scripted struct {
	tokenauthorityv1.UnimplementedTokenServiceServer
	tokenauthorityv1.UnimplementedSessionServiceServer
	generate func(context.Context) error
	create   func(*tokenauthorityv1.CreateSessionRequest) error
	watch    func(*tokenauthorityv1.WatchRevocationsRequest, grpc.ServerStreamingServer[tokenauthorityv1.WatchRevocationsResponse]) error
}

func (s *scripted) GenerateToken(ctx context.Context, _ *tokenauthorityv1.GenerateTokenRequest) (*tokenauthorityv1.GenerateTokenResponse, error) {
	return &tokenauthorityv1.GenerateTokenResponse{Token: &tokenauthorityv1.Token{}}, s.generate(ctx)
}

func (s *scripted) CreateSession(_ context.Context, request *tokenauthorityv1.CreateSessionRequest) (*tokenauthorityv1.CreateSessionResponse, error) {
	return &tokenauthorityv1.CreateSessionResponse{Session: &tokenauthorityv1.Session{}}, s.create(request)
}

func (s *scripted) ListSessions(context.Context, *tokenauthorityv1.ListSessionsRequest) (*tokenauthorityv1.ListSessionsResponse, error) {
	return &tokenauthorityv1.ListSessionsResponse{Sessions: []*tokenauthorityv1.Session{{}}, NextPageToken: "same"}, nil
}

func (s *scripted) WatchRevocations(request *tokenauthorityv1.WatchRevocationsRequest, stream grpc.ServerStreamingServer[tokenauthorityv1.WatchRevocationsResponse]) error {
	return s.watch(request, stream)
}

// clientOf returns a client of a server that answers as scripted.
func clientOf(t *testing.T, answers *scripted, options Options) *Authority {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	tokenauthorityv1.RegisterTokenServiceServer(server, answers)
	tokenauthorityv1.RegisterSessionServiceServer(server, answers)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	options.Address, options.Plaintext = listener.Addr().String(), true
	authority, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { authority.Close() })
	return authority
}

func TestAnErrorHasWhatTheAuthoritySays(t *testing.T) {
	failure, err := status.New(codes.InvalidArgument, "no").WithDetails(
		protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: "INVALID_FIELD", Metadata: map[string]string{"request_id": "r1", "limit": "3"}}),
		protoadapt.MessageV1Of(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "request.ttl", Description: "is too long"}}}),
		protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}),
	)
	if err != nil {
		t.Fatal(err)
	}
	authority := clientOf(t, &scripted{generate: func(context.Context) error { return failure.Err() }}, Options{APIKey: key})

	_, err = authority.GenerateToken(context.Background(), "s", TokenOptions{})

	var found *Error
	if !errors.As(err, &found) {
		t.Fatalf("%T: %v", err, err)
	}
	if found.Code != codes.InvalidArgument || found.Reason != "INVALID_FIELD" || found.Message != "no" || found.RequestID != "r1" ||
		found.Metadata["limit"] != "3" || found.RetryAfter != 1500*time.Millisecond ||
		!slices.Equal(found.Violations, []Violation{{"request.ttl", "is too long"}}) {
		t.Errorf("%+v", found)
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Error("status.Code does not know it")
	}
}

func TestTheEarlierOfTwoDeadlinesApplies(t *testing.T) {
	var left time.Duration
	answers := &scripted{generate: func(ctx context.Context) error {
		until, _ := ctx.Deadline()
		left = time.Until(until)
		return nil
	}}
	authority := clientOf(t, answers, Options{APIKey: key, Timeout: time.Hour})
	for _, own := range []time.Duration{time.Minute, 24 * time.Hour} {
		ctx, cancel := context.WithTimeout(context.Background(), own)
		defer cancel()
		if _, err := authority.GenerateToken(ctx, "s", TokenOptions{}); err != nil {
			t.Fatal(err)
		}
		if left > min(own, time.Hour) {
			t.Errorf("%s left of %s", left, own)
		}
	}
}

func TestADeadlineThatIsOverIsDeadlineExceeded(t *testing.T) {
	answers := &scripted{generate: func(ctx context.Context) error { <-ctx.Done(); return nil }}
	authority := clientOf(t, answers, Options{APIKey: key, Timeout: time.Millisecond})

	_, err := authority.GenerateToken(context.Background(), "s", TokenOptions{})

	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestATokenFileIsReadForEachCall(t *testing.T) {
	var sent []string
	answers := &scripted{generate: func(ctx context.Context) error {
		received, _ := metadata.FromIncomingContext(ctx)
		sent = append(sent, received.Get("authorization")...)
		return nil
	}}
	path := file(t, "first\n")
	authority := clientOf(t, answers, Options{TokenFile: path})
	call := func() error {
		_, err := authority.GenerateToken(context.Background(), "s", TokenOptions{})
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sent, []string{"Bearer first", "Bearer second"}) {
		t.Error(sent)
	}
	for _, content := range []string{"", "two words", strings.Repeat("x", maxCredential+1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := call(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "TokenFile") {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
}

func TestCredentialsThatFailMakeTheCallFail(t *testing.T) {
	cause := errors.New("no token today")
	for _, give := range []func(context.Context) (string, error){
		func(context.Context) (string, error) { return "", cause },
		func(context.Context) (string, error) { return "two words", nil },
	} {
		authority := clientOf(t, &scripted{}, Options{Credentials: give})

		_, err := authority.GenerateToken(context.Background(), "s", TokenOptions{})

		if status.Code(err) != codes.Unauthenticated || strings.Contains(err.Error(), "two words") {
			t.Error(err)
		}
	}
}

func TestASessionIsRepeatedWithOneRequestID(t *testing.T) {
	var ids []string
	answers := &scripted{create: func(request *tokenauthorityv1.CreateSessionRequest) error {
		if ids = append(ids, request.GetRequestId()); len(ids) == 1 {
			return status.Error(codes.Unavailable, "later")
		}
		return nil
	}}
	authority := clientOf(t, answers, Options{APIKey: key})

	_, err := authority.CreateSession(context.Background(), SessionOptions{})

	if err != nil || len(ids) != 2 || ids[0] == "" || ids[0] != ids[1] {
		t.Error(ids, err)
	}
}

func TestALifetimeOfZeroIsNotTheDefault(t *testing.T) {
	for _, lifetime := range []Lifetime{TTL(0), ExpireTime{}} {
		request := TokenRequest{TokenOptions: TokenOptions{Lifetime: lifetime}}
		if request.message().GetLifetime() == nil {
			t.Errorf("%T", lifetime)
		}
	}
}

func TestRefusesToRevokeAnEmptyTarget(t *testing.T) {
	authority := clientOf(t, &scripted{}, Options{APIKey: key})
	for _, target := range []Target{nil, ByToken(""), ByTokenID(""), BySessionID(""), BySubject("")} {
		if _, err := authority.RevokeTokens(context.Background(), target, RevokeOptions{}); err == nil || errors.As(err, new(*Error)) {
			t.Errorf("%T: %v", target, err)
		}
	}
}

func TestAListWithoutAnEndIsAnError(t *testing.T) {
	authority := clientOf(t, &scripted{}, Options{APIKey: key})
	var failures []error
	for session, err := range authority.ListSessions(context.Background(), ListOptions{}) {
		if session == nil {
			failures = append(failures, err)
		}
	}
	if len(failures) != 1 || status.Code(failures[0]) != codes.DataLoss {
		t.Error(failures)
	}
}
