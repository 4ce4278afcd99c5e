// The program of `make interop`: it reads one JSON request a line, makes the call, and writes one JSON answer a line.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/tokenauthority/tokenauthority/clients/go/tokenauthority"
	tokenauthorityv1 "github.com/tokenauthority/tokenauthority/clients/go/tokenauthority/v1"
)

type object = map[string]any

type tokenOptions struct {
	SessionID  string   `json:"session_id"`
	Role       string   `json:"role"`
	Data       string   `json:"data"`
	TTL        *float64 `json:"ttl"`
	ExpireTime *float64 `json:"expire_time"`
	Format     string   `json:"format"`
	Subject    string   `json:"subject"`
	Classes    []string `json:"initial_layout_class_list"`
}

type sessionOptions struct {
	MediaMode         string `json:"media_mode"`
	ArchiveMode       string `json:"archive_mode"`
	Location          string `json:"location"`
	E2EE              bool   `json:"e2ee"`
	ArchiveName       string `json:"archive_name"`
	ArchiveResolution string `json:"archive_resolution"`
	Name              string `json:"name"`
}

type request struct {
	Op          string          `json:"op"`
	Method      string          `json:"method"`
	Request     string          `json:"request"`
	Options     json.RawMessage `json:"options"`
	SessionID   string          `json:"session_id"`
	Via         string          `json:"via"`
	Requests    []tokenOptions  `json:"requests"`
	Token       string          `json:"token"`
	TokenID     string          `json:"token_id"`
	Subject     string          `json:"subject"`
	Comment     string          `json:"comment"`
	ResumeToken string          `json:"resume_token"`
	Permissions []string        `json:"required_permissions"`
	State       string          `json:"state"`
	PageSize    int32           `json:"page_size"`
	Within      float64         `json:"within"`
	Callers     int             `json:"callers"`
	Calls       int             `json:"calls"`
}

type driver struct {
	authority *tokenauthority.Authority
	watched   *watched
}

func main() {
	authority, unusable := tokenauthority.FromEnvironment()
	driver := &driver{authority: authority}
	input := bufio.NewReader(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		ok, err := object(nil), unusable
		if err == nil {
			ok, err = driver.answer(context.Background(), line)
		}
		answer := object{"ok": ok}
		if err != nil {
			answer = object{"error": describe(err)}
		}
		if err := output.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}

func (d *driver) answer(ctx context.Context, line []byte) (object, error) {
	var r request
	if err := decode(line, &r); err != nil {
		return nil, err
	}
	switch r.Op {
	case "call":
		return d.call(ctx, r)
	case "create_session":
		return d.createSession(ctx, r)
	case "generate_token":
		return d.generateToken(ctx, r)
	case "generate_tokens":
		return d.generateTokens(ctx, r)
	case "create_turn_credentials":
		return d.createTurnCredentials(ctx, r)
	case "verify_token":
		return d.verifyToken(ctx, r)
	case "revoke_tokens":
		return object{}, d.revokeTokens(ctx, r, line)
	case "list_sessions":
		return d.listSessions(ctx, r)
	case "end_session":
		session, err := d.authority.EndSession(ctx, r.SessionID)
		if err != nil {
			return nil, err
		}
		return object{"state": short(session.GetState())}, nil
	case "watch":
		d.watched = watch(d.authority, r.ResumeToken)
		return object{}, nil
	case "watched":
		return d.watched.wait(r, d.watched.find)
	case "lost":
		return d.watched.wait(r, d.watched.lost)
	case "load":
		return d.load(ctx, r), nil
	}
	return nil, fmt.Errorf("unknown op %q", r.Op)
}

func (d *driver) call(ctx context.Context, r request) (object, error) {
	service, method, _ := strings.Cut(r.Method, "/")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + method))
	if err != nil {
		return nil, err
	}
	rpc, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no method", r.Method)
	}
	input, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Input().FullName())
	if err != nil {
		return nil, err
	}
	output, err := protoregistry.GlobalTypes.FindMessageByName(rpc.Output().FullName())
	if err != nil {
		return nil, err
	}
	content, err := base64.StdEncoding.DecodeString(r.Request)
	if err != nil {
		return nil, err
	}
	message, answer := input.New().Interface(), output.New().Interface()
	if err := proto.Unmarshal(content, message); err != nil {
		return nil, err
	}
	if err := d.authority.Conn().Invoke(ctx, "/"+r.Method, message, answer); err != nil {
		return nil, err
	}
	content, err = proto.Marshal(answer)
	return object{"response": base64.StdEncoding.EncodeToString(content)}, err
}

func (d *driver) createSession(ctx context.Context, r request) (object, error) {
	var o sessionOptions
	if err := decode(r.Options, &o); err != nil {
		return nil, err
	}
	mediaMode, err := value[tokenauthorityv1.MediaMode](o.MediaMode)
	if err != nil {
		return nil, err
	}
	archiveMode, err := value[tokenauthorityv1.ArchiveMode](o.ArchiveMode)
	if err != nil {
		return nil, err
	}
	session, err := d.authority.CreateSession(ctx, tokenauthority.SessionOptions{
		MediaMode: mediaMode, ArchiveMode: archiveMode, Location: o.Location, E2EE: o.E2EE,
		ArchiveName: o.ArchiveName, ArchiveResolution: o.ArchiveResolution, Name: o.Name,
	})
	if err != nil {
		return nil, err
	}
	return object{"session_id": session.GetSessionId()}, nil
}

func (d *driver) generateToken(ctx context.Context, r request) (object, error) {
	var o tokenOptions
	if err := decode(r.Options, &o); err != nil {
		return nil, err
	}
	options, err := o.options()
	if err != nil {
		return nil, err
	}
	var token *tokenauthority.Token
	if r.Via == "session" {
		var session *tokenauthority.Session
		if session, err = d.authority.GetSession(ctx, r.SessionID); err == nil {
			token, err = session.GenerateToken(ctx, options)
		}
	} else {
		token, err = d.authority.GenerateToken(ctx, r.SessionID, options)
	}
	if err != nil {
		return nil, err
	}
	return object{"token": token.Token, "token_id": token.TokenID, "expire_time": token.ExpireTime.Unix()}, nil
}

func (d *driver) generateTokens(ctx context.Context, r request) (object, error) {
	var wanted []tokenauthority.TokenRequest
	for _, each := range r.Requests {
		options, err := each.options()
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, tokenauthority.TokenRequest{SessionID: each.SessionID, TokenOptions: options})
	}
	tokens, err := d.authority.GenerateTokens(ctx, wanted)
	texts := []string{}
	for _, token := range tokens {
		texts = append(texts, token.Token)
	}
	return object{"tokens": texts}, err
}

func (d *driver) createTurnCredentials(ctx context.Context, r request) (object, error) {
	var o struct {
		Subject string   `json:"subject"`
		TTL     *float64 `json:"ttl"`
	}
	if err := decode(r.Options, &o); err != nil {
		return nil, err
	}
	options := tokenauthority.TurnOptions{Subject: o.Subject}
	if o.TTL != nil {
		ttl := time.Duration(*o.TTL * float64(time.Second))
		options.TTL = &ttl
	}
	var made *tokenauthority.TurnCredentials
	var err error
	if r.Via == "session" {
		var session *tokenauthority.Session
		if session, err = d.authority.GetSession(ctx, r.SessionID); err == nil {
			made, err = session.CreateTurnCredentials(ctx, options)
		}
	} else {
		made, err = d.authority.CreateTurnCredentials(ctx, r.SessionID, options)
	}
	if err != nil {
		return nil, err
	}
	return object{
		"urls": made.URLs, "username": made.Username, "credential": made.Credential, "expire_time": made.ExpireTime.Unix(),
		"shown": fmt.Sprintf("%v %+v %#v", made, *made, made),
	}, nil
}

func (d *driver) verifyToken(ctx context.Context, r request) (object, error) {
	options := tokenauthority.VerifyOptions{SessionID: r.SessionID}
	for _, name := range r.Permissions {
		permission, err := value[tokenauthorityv1.Permission](name)
		if err != nil {
			return nil, err
		}
		options.RequiredPermissions = append(options.RequiredPermissions, permission)
	}
	verified, err := d.authority.VerifyToken(ctx, r.Token, options)
	if err != nil {
		return nil, err
	}
	claims := verified.GetClaims()
	reason := strings.ToUpper(short(verified.GetReason()))
	return object{"active": verified.GetActive(), "reason": reason, "role": claims.GetRole(), "data": claims.GetData()}, nil
}

func (d *driver) revokeTokens(ctx context.Context, r request, line []byte) error {
	options := tokenauthority.RevokeOptions{Comment: r.Comment}
	if r.Via == "session" {
		session, err := d.authority.GetSession(ctx, r.SessionID)
		if err == nil {
			_, err = session.RevokeTokens(ctx, options)
		}
		return err
	}
	// An empty target is another one than none.
	var given struct {
		Token     *tokenauthority.ByToken     `json:"token"`
		TokenID   *tokenauthority.ByTokenID   `json:"token_id"`
		SessionID *tokenauthority.BySessionID `json:"session_id"`
		Subject   *tokenauthority.BySubject   `json:"subject"`
	}
	if err := json.Unmarshal(line, &given); err != nil {
		return err
	}
	var target tokenauthority.Target
	switch {
	case given.Token != nil:
		target = *given.Token
	case given.TokenID != nil:
		target = *given.TokenID
	case given.SessionID != nil:
		target = *given.SessionID
	case given.Subject != nil:
		target = *given.Subject
	}
	_, err := d.authority.RevokeTokens(ctx, target, options)
	return err
}

func (d *driver) listSessions(ctx context.Context, r request) (object, error) {
	state, err := value[tokenauthorityv1.SessionState](r.State)
	if err != nil {
		return nil, err
	}
	ids := []string{}
	for session, err := range d.authority.ListSessions(ctx, tokenauthority.ListOptions{State: state, PageSize: r.PageSize}) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, session.GetSessionId())
	}
	return object{"session_ids": ids}, nil
}

func (d *driver) load(ctx context.Context, r request) object {
	var lock sync.Mutex
	var callers sync.WaitGroup
	failed, texts := 0, []string{}
	for range r.Callers {
		callers.Go(func() {
			for range r.Calls {
				if _, err := d.authority.GenerateToken(ctx, r.SessionID, tokenauthority.TokenOptions{}); err != nil {
					lock.Lock()
					if failed++; len(texts) < 5 {
						texts = append(texts, err.Error())
					}
					lock.Unlock()
				}
			}
		})
	}
	callers.Wait()
	return object{"failed": failed, "errors": texts}
}

func (o tokenOptions) options() (tokenauthority.TokenOptions, error) {
	format, err := value[tokenauthorityv1.TokenFormat](o.Format)
	options := tokenauthority.TokenOptions{
		Role: o.Role, Data: o.Data, Format: format, Subject: o.Subject, InitialLayoutClassList: o.Classes,
	}
	if o.TTL != nil {
		options.Lifetime = tokenauthority.TTL(*o.TTL * float64(time.Second))
	}
	if o.ExpireTime != nil {
		options.Lifetime = tokenauthority.ExpireTime(time.Unix(int64(*o.ExpireTime), 0))
	}
	if o.TTL != nil && o.ExpireTime != nil {
		err = errors.New("the type Lifetime holds one of ttl and expire_time")
	}
	return options, err
}
