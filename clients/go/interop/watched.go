// A watch in the background, which can be asked what it has seen.

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

type watched struct {
	lock   sync.Mutex
	events []*tokenauthorityv1.WatchRevocationsResponse
	err    error
	// more is closed and replaced with each event.
	more chan struct{}
}

func watch(authority *tokenauthority.Authority, resumeToken string) *watched {
	w := &watched{more: make(chan struct{})}
	go func() {
		options := tokenauthority.WatchOptions{ResumeToken: resumeToken}
		for event, err := range authority.WatchRevocations(context.Background(), options) {
			w.lock.Lock()
			if err != nil {
				w.err = err
			} else {
				w.events = append(w.events, event)
			}
			close(w.more)
			w.more = make(chan struct{})
			w.lock.Unlock()
		}
	}()
	return w
}

func (w *watched) wait(r request) (object, error) {
	if w == nil {
		return nil, fmt.Errorf("no watch was started")
	}
	late := time.After(time.Duration(r.Within * float64(time.Second)))
	for {
		w.lock.Lock()
		events, err, more := w.events, w.err, w.more
		w.lock.Unlock()
		for _, event := range events {
			if kind := kindOf(event, r); kind != "" {
				return object{"kind": kind, "resume_token": event.GetResumeToken()}, nil
			}
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-more:
		case <-late:
			return nil, fmt.Errorf("no such event within %g seconds", r.Within)
		}
	}
}

// kindOf returns an empty text for an event that was not asked for.
func kindOf(event *tokenauthorityv1.WatchRevocationsResponse, r request) string {
	revocation, end := event.GetRevocation(), event.GetSessionEnd()
	switch {
	case r.TokenID != "" && revocation.GetTokenId() == r.TokenID,
		r.SessionID != "" && revocation.GetSessionId() == r.SessionID,
		r.Subject != "" && revocation.GetSubject() == r.Subject:
		return "revocation"
	case r.SessionID != "" && end.GetSessionId() == r.SessionID:
		return "ended_session"
	}
	return ""
}
