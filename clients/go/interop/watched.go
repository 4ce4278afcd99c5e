// A watch in the background, which can be asked what it has seen.

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

type watched struct {
	lock   sync.Mutex
	events []*tokenauthorityv1.WatchRevocationsResponse
	losses []object
	err    error
	// more is closed and replaced with each event.
	more chan struct{}
}

func watch(authority *tokenauthority.Authority, resumeToken string) *watched {
	w := &watched{more: make(chan struct{})}
	options := tokenauthority.WatchOptions{ResumeToken: resumeToken, OnLost: func(err error, wait time.Duration) {
		w.note(func() {
			w.losses = append(w.losses, object{"code": codeName(status.Code(err)), "pause": wait.Seconds()})
		})
	}}
	go func() {
		for event, err := range authority.WatchRevocations(context.Background(), options) {
			w.note(func() {
				if w.err = err; err == nil {
					w.events = append(w.events, event)
				}
			})
		}
	}()
	return w
}

func (w *watched) note(change func()) {
	w.lock.Lock()
	defer w.lock.Unlock()
	change()
	close(w.more)
	w.more = make(chan struct{})
}

// wait returns what find has found, as soon as it does.
func (w *watched) wait(r request, find func(request) object) (object, error) {
	late := time.After(time.Duration(r.Within * float64(time.Second)))
	for {
		w.lock.Lock()
		found, err, more := find(r), w.err, w.more
		w.lock.Unlock()
		if found != nil {
			return found, nil
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

func (w *watched) find(r request) object {
	for _, event := range w.events {
		if kind := kindOf(event, r); kind != "" {
			return object{"kind": kind, "resume_token": event.GetResumeToken()}
		}
	}
	return nil
}

func (w *watched) lost(request) object {
	if len(w.losses) == 0 {
		return nil
	}
	return w.losses[0]
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
