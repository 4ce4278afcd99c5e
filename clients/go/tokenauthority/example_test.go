package tokenauthority_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

func ExampleNew() {
	// --8<-- [start:new]
	authority, err := tokenauthority.New(tokenauthority.Options{
		Address:   "tokens.example.com:50051",
		CAFile:    "ca.pem",
		TokenFile: "/var/run/secrets/tokens/tokenauthority",
		ProjectID: "47000000",
	})
	// --8<-- [end:new]
	_, _ = authority, err
}

func ExampleOptions_credentials() {
	// --8<-- [start:credentials]
	authority, err := tokenauthority.New(tokenauthority.Options{
		Address: "tokens.example.com:50051",
		Credentials: func(ctx context.Context) (string, error) {
			token, err := os.ReadFile("/var/run/secrets/tokens/tokenauthority")
			return strings.TrimSpace(string(token)), err
		},
	})
	// --8<-- [end:credentials]
	_, _ = authority, err
}

func ExampleAuthority_GenerateTokens() {
	ctx, authority := context.Background(), (*tokenauthority.Authority)(nil)
	demonstrate := func(sessionID string) error {
		// --8<-- [start:batch]
		tokens, err := authority.GenerateTokens(ctx, []tokenauthority.TokenRequest{
			{SessionID: sessionID, TokenOptions: tokenauthority.TokenOptions{Role: "moderator", Subject: "user-1"}},
			{SessionID: sessionID, TokenOptions: tokenauthority.TokenOptions{Role: "subscriber"}},
		})
		if err != nil {
			return err
		}
		verified, err := authority.VerifyToken(ctx, tokens[1].Token, tokenauthority.VerifyOptions{
			SessionID:           sessionID,
			RequiredPermissions: []tokenauthorityv1.Permission{tokenauthorityv1.Permission_PERMISSION_PUBLISH},
		})
		if err != nil {
			return err
		}
		fmt.Println(verified.GetActive(), verified.GetReason()) // false INACTIVE_REASON_PERMISSION_MISSING
		_, err = authority.RevokeTokens(ctx, tokenauthority.BySubject("user-1"), tokenauthority.RevokeOptions{Comment: "left the company"})
		// --8<-- [end:batch]
		return err
	}
	_ = demonstrate
}

func ExampleAuthority_ListSessions() {
	ctx, authority := context.Background(), (*tokenauthority.Authority)(nil)
	demonstrate := func() error {
		// --8<-- [start:list]
		for session, err := range authority.ListSessions(ctx, tokenauthority.ListOptions{State: tokenauthority.Active}) {
			if err != nil {
				return err
			}
			fmt.Println(session.GetSessionId(), session.GetCreateTime().AsTime())
		}
		// --8<-- [end:list]
		return nil
	}
	_ = demonstrate
}

func ExampleAuthority_WatchRevocations() {
	ctx, authority := context.Background(), (*tokenauthority.Authority)(nil)
	demonstrate := func(store func(resumeToken string)) error {
		// --8<-- [start:watch]
		for event, err := range authority.WatchRevocations(ctx, tokenauthority.WatchOptions{}) {
			if err != nil {
				return err
			}
			switch {
			case event.GetRevocation() != nil:
				fmt.Println("revoked", event.GetRevocation())
			case event.GetSessionEnd() != nil:
				fmt.Println("ended", event.GetSessionEnd().GetSessionId())
			}
			store(event.GetResumeToken())
		}
		// --8<-- [end:watch]
		return nil
	}
	_ = demonstrate
}

func ExampleError() {
	ctx, authority := context.Background(), (*tokenauthority.Authority)(nil)
	demonstrate := func(sessionID string) {
		// --8<-- [start:errors]
		_, err := authority.GenerateToken(ctx, sessionID, tokenauthority.TokenOptions{Role: "moderator"})
		var failure *tokenauthority.Error
		switch {
		case err == nil:
		case errors.Is(err, context.DeadlineExceeded):
			fmt.Println("no answer in time")
		case !errors.As(err, &failure):
			fmt.Println("wrong arguments:", err)
		case failure.Code == codes.InvalidArgument:
			for _, violation := range failure.Violations {
				fmt.Println(violation.Field, violation.Problem)
			}
		case failure.Code == codes.ResourceExhausted:
			fmt.Println(failure.Reason, "wait", failure.RetryAfter)
		default:
			fmt.Println(failure.Reason, failure.RequestID, failure)
		}
		// --8<-- [end:errors]
	}
	_ = demonstrate
}

func ExampleAuthority_roles() {
	ctx, authority := context.Background(), (*tokenauthority.Authority)(nil)
	demonstrate := func(projectID string) error {
		// --8<-- [start:roles]
		roles, err := authority.Roles.ListRoles(ctx, &tokenauthorityv1.ListRolesRequest{ProjectId: projectID})
		// --8<-- [end:roles]
		fmt.Println(roles)
		return err
	}
	_ = demonstrate
}
