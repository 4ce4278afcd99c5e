// Package tokenauthority is a client of Token Authority, which makes, verifies and revokes the tokens of real-time
// sessions.
package tokenauthority

import (
	"context"
	_ "embed"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

const (
	maxReceive  = 48 << 20
	retryBuffer = 11 << 20
)

// Which calls are repeated, and when. The same document serves the clients of all languages.
//
//go:embed service-config.json
var serviceConfig string

// Authority is a client of one authority as one caller. Goroutines may share it: one is enough for a process. Every call
// may return an [*Error]. A call that is safe to repeat is retried within its deadline.
type Authority struct {
	// The stubs have every RPC of the contract, with the same connection, credentials, deadline, retries and errors.
	Sessions tokenauthorityv1.SessionServiceClient
	Tokens   tokenauthorityv1.TokenServiceClient
	Roles    tokenauthorityv1.RoleServiceClient
	Projects tokenauthorityv1.ProjectServiceClient
	Keys     tokenauthorityv1.KeyServiceClient

	conn      *grpc.ClientConn
	projectID string
	watches   watchTimes
}

// New makes a client. It connects with its first call. An error names the option, and never holds the API key.
func New(options Options) (*Authority, error) {
	return open(options, nil)
}

func open(options Options, n names) (*Authority, error) {
	if err := options.check(n); err != nil {
		return nil, err
	}
	bearer, err := options.bearer(n)
	if err != nil {
		return nil, err
	}
	transport, err := options.transport(n)
	if err != nil {
		return nil, err
	}
	calls := &callDefaults{timeout: options.Timeout, bearer: bearer}
	if calls.timeout == 0 {
		calls.timeout = defaultTimeout
	}
	conn, err := grpc.NewClient(options.Address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		// DNS may hold another one, but the contract says which calls are safe to repeat.
		grpc.WithDisableServiceConfig(),
		// A proxy would read the API key of a plaintext connection.
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive), grpc.MaxRetryRPCBufferSize(retryBuffer)),
		// By default gRPC waits up to two minutes between two attempts, also when a server is back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.WithChainUnaryInterceptor(calls.unary),
		grpc.WithChainStreamInterceptor(calls.stream),
	}, options.DialOptions...)...)
	if err != nil {
		return nil, err
	}
	return &Authority{
		Sessions:  tokenauthorityv1.NewSessionServiceClient(conn),
		Tokens:    tokenauthorityv1.NewTokenServiceClient(conn),
		Roles:     tokenauthorityv1.NewRoleServiceClient(conn),
		Projects:  tokenauthorityv1.NewProjectServiceClient(conn),
		Keys:      tokenauthorityv1.NewKeyServiceClient(conn),
		conn:      conn,
		projectID: options.ProjectID,
		watches:   usualTimes,
	}, nil
}

// Close closes the connection, and cancels the calls that still run.
func (a *Authority) Close() error { return a.conn.Close() }

// Conn is the connection of the stubs, for calls by the name of a method.
func (a *Authority) Conn() grpc.ClientConnInterface { return a.conn }

// callDefaults gives each call its deadline and its credential, and translates its error.
type callDefaults struct {
	timeout time.Duration
	bearer  func(context.Context) (string, error)
}

func (c *callDefaults) unary(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, err := c.authorize(ctx)
	if err != nil {
		return err
	}
	return translate(invoke(ctx, method, request, answer, conn, options...))
}

func (c *callDefaults) stream(ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	streamer grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, err := c.authorize(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := streamer(ctx, description, conn, method, options...)
	if err != nil {
		return nil, translate(err)
	}
	return translatedStream{stream}, nil
}

func (c *callDefaults) authorize(ctx context.Context) (context.Context, error) {
	if c.bearer == nil {
		return ctx, nil
	}
	credential, err := c.bearer(ctx)
	if err != nil {
		return nil, &Error{Code: codes.Unauthenticated, Message: err.Error(), cause: err}
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+credential), nil
}

type translatedStream struct{ grpc.ClientStream }

func (s translatedStream) RecvMsg(message any) error {
	if err := s.ClientStream.RecvMsg(message); !errors.Is(err, io.EOF) {
		return translate(err)
	}
	return io.EOF
}
