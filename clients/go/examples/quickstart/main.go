// Creates a session, generates a token for it and verifies the token.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
)

func main() {
	ctx := context.Background()
	authority, err := tokenauthority.FromEnvironment()
	check(err)
	defer authority.Close()

	session, err := authority.CreateSession(ctx, tokenauthority.SessionOptions{MediaMode: tokenauthority.Routed})
	check(err)
	token, err := session.GenerateToken(ctx, tokenauthority.TokenOptions{
		Role:     "publisher",
		Data:     "username=bob",
		Lifetime: tokenauthority.TTL(time.Hour),
	})
	check(err)
	fmt.Println(token.Token)

	verified, err := authority.VerifyToken(ctx, token.Token, tokenauthority.VerifyOptions{SessionID: session.GetSessionId()})
	check(err)
	fmt.Println(verified.GetActive(), verified.GetClaims().GetData())

	_, err = session.GenerateToken(ctx, tokenauthority.TokenOptions{Role: "king"})
	if refused := (*tokenauthority.Error)(nil); errors.As(err, &refused) {
		fmt.Println(refused.Reason)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
