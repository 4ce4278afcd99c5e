// Calls an authority as a back end does, with the client package, and counts in a line of JSON how the calls ended.
//
// Without ITEMS, CALLERS goroutines make tokens until standard input ends; a first line says that each has one.
// With ITEMS, one call makes a batch of so many, each as long as a token can be.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
)

var (
	addresses = flag.String("addresses", "", "of servers, with commas between them")
	caFile    = flag.String("ca", "", "trusted certificates; empty: no TLS")
	session   = flag.String("session", "", "the session that tokens are made for")
	callers   = flag.Int("callers", 1, "calls at once")
	items     = flag.Int("items", 0, "tokens in one batch")
)

func main() {
	flag.Parse()
	servers := manual.NewBuilderWithScheme("servers")
	state := resolver.State{}
	for _, address := range strings.Split(*addresses, ",") {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}})
	}
	servers.InitialState(state)
	authority, err := tokenauthority.New(tokenauthority.Options{
		Address:     "servers:///",
		APIKey:      os.Getenv("TOKENAUTHORITY_API_KEY"),
		CAFile:      *caFile,
		Plaintext:   *caFile == "",
		Timeout:     30 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithResolvers(servers), grpc.WithAuthority("localhost")},
	})
	check(err)
	defer authority.Close()
	ended := &ends{Failed: map[string]int{}}
	if *items > 0 {
		ended.count(batch(authority))
	} else {
		callUntilTheEnd(authority, ended)
	}
	check(json.NewEncoder(os.Stdout).Encode(ended))
}

type ends struct {
	lock     sync.Mutex
	Answered int            `json:"answered"`
	Failed   map[string]int `json:"failed"`
}

func (e *ends) count(err error) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if err == nil {
		e.Answered++
	} else {
		e.Failed[err.Error()]++
	}
}

func callUntilTheEnd(authority *tokenauthority.Authority, ended *ends) {
	input := make(chan struct{})
	var started, stopped sync.WaitGroup
	started.Add(*callers)
	for range *callers {
		stopped.Go(func() {
			ended.count(generate(authority))
			started.Done()
			for {
				select {
				case <-input:
					return
				default:
					ended.count(generate(authority))
				}
			}
		})
	}
	started.Wait()
	fmt.Println("started")
	_, err := io.Copy(io.Discard, os.Stdin)
	check(err)
	close(input)
	stopped.Wait()
}

func generate(authority *tokenauthority.Authority) error {
	_, err := authority.GenerateToken(context.Background(), *session, tokenauthority.TokenOptions{})
	return err
}

func batch(authority *tokenauthority.Authority) error {
	longest := tokenauthority.TokenRequest{SessionID: *session}
	longest.Data = strings.Repeat("😀", 1000)
	requests := make([]tokenauthority.TokenRequest, *items)
	for index := range requests {
		requests[index] = longest
	}
	_, err := authority.GenerateTokens(context.Background(), requests)
	return err
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
