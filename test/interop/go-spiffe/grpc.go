package main

import (
	"context"
	"errors"
	"net"

	"github.com/spiffe/go-spiffe/v2/spiffegrpc/grpccredentials"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The one method of both sides: it takes nothing and answers with the caller's SPIFFE ID, a google.protobuf.StringValue.
const whoAmI = "/test.Peer/WhoAmI"

// Serves gRPC with the credentials of go-spiffe; returns the address.
func (w *workload) serveGrpc(authorizer tlsconfig.Authorizer) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := grpc.NewServer(grpc.Creds(grpccredentials.MTLSServerCredentials(w.source, w.source, authorizer)))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Peer",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "WhoAmI", Handler: answerGrpc}},
	}, nil)
	go func() { check(server.Serve(listener)) }()
	return listener.Addr().String(), nil
}

func answerGrpc(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(&emptypb.Empty{}); err != nil {
		return nil, err
	}
	caller, ok := grpccredentials.PeerIDFromContext(ctx)
	if !ok {
		return nil, errors.New("the caller has no SPIFFE ID")
	}
	return wrapperspb.String(caller.String()), nil
}

// Calls a gRPC server whose ID must be the one that is named.
func (w *workload) callGrpc(ctx context.Context, in input) (any, error) {
	creds := grpccredentials.MTLSClientCredentials(w.source, w.source, authorizer(in.Authorize))
	connection, err := grpc.NewClient("passthrough:///"+in.Target, grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	var server peer.Peer
	var caller wrapperspb.StringValue
	if err := connection.Invoke(ctx, whoAmI, &emptypb.Empty{}, &caller, grpc.Peer(&server)); err != nil {
		return nil, err
	}
	id, _ := grpccredentials.PeerIDFromPeer(&server)
	return object{"caller": caller.GetValue(), "server": id.String()}, nil
}
