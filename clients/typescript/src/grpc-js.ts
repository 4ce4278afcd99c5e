/** The connection of grpc-js, for programs that have it already: the same typed client, with gRPC's own retries. */
import { create, type DescMessage, type DescMethod, fromBinary, isMessage, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { type CallOptions, Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";

import type { Endpoint, OpenedTransport } from "./connection.js";
import { MAX_ATTEMPTS, repeatedCodes } from "./retry.js";
import { KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MAX_RECEIVE_BYTES } from "./transport.js";
import { services } from "./v1.js";

const RETRY_BUFFER_BYTES = 11 << 20;

/** The contract's retries as a gRPC service config. */
export const serviceConfig = {
  loadBalancingConfig: [{ round_robin: {} }],
  methodConfig: services.flatMap((service) => service.methods).filter((method) => repeatedCodes(method).length > 0)
    .map((method) => ({
      name: [{ service: method.parent.typeName, method: method.name }],
      retryPolicy: {
        maxAttempts: MAX_ATTEMPTS, initialBackoff: "0.1s", maxBackoff: "2s", backoffMultiplier: 2,
        retryableStatusCodes: repeatedCodes(method),
      },
    })),
  retryThrottling: { maxTokens: 1000, tokenRatio: 1 },
};

/** Open a connection of grpc-js: `new Authority({ ..., transport: grpcJs })`. */
export function grpcJs({ address, tls }: Endpoint): OpenedTransport {
  const channel = tls ? credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null) : credentials.createInsecure();
  const client = new Client(address, channel, {
    "grpc.service_config": JSON.stringify(serviceConfig),
    "grpc.service_config_disable_resolution": 1,
    "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
    "grpc.per_rpc_retry_buffer_size": RETRY_BUFFER_BYTES,
    "grpc.enable_http_proxy": 0,
    "grpc.initial_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 5000,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
  });
  return { transport: transportOf(client), close: () => client.close() };
}

function transportOf(client: Client): Transport {
  return {
    unary(method, signal, timeoutMs, header, input) {
      return new Promise((resolve, reject) => {
        const common = { stream: false as const, service: method.parent, method, header: new Headers() };
        const call = client.makeUnaryRequest(
          ...codecOf(method), encodable(method.input, input), metadataOf(header), optionsOf(timeoutMs),
          (error, message) => {
            signal?.removeEventListener("abort", cancel);
            if (message) resolve({ ...common, message, trailer });
            else reject(errorOf(error, signal));
          },
        );
        const trailer = new Headers();
        const cancel = () => call.cancel();
        call.on("metadata", (found) => copyInto(common.header, found));
        call.on("status", (status) => copyInto(trailer, status.metadata));
        if (signal?.aborted) cancel();
        signal?.addEventListener("abort", cancel);
      });
    },
    async stream(method, signal, timeoutMs, header, input) {
      const inputs = [];
      for await (const each of input) inputs.push(each);
      const [only] = inputs;
      if (method.methodKind !== "server_streaming" || only === undefined)
        throw new ConnectError(`${method.name} is no call with one message`, Code.Unimplemented);
      const messages = async function* (): AsyncGenerator<MessageShape<typeof method.output>> {
        const call = client.makeServerStreamRequest(
          ...codecOf(method), encodable(method.input, only as MessageInitShape<typeof method.input>), metadataOf(header), optionsOf(timeoutMs));
        const cancel = () => call.cancel();
        signal?.addEventListener("abort", cancel);
        try {
          if (signal?.aborted) cancel();
          yield* call;
        } catch (error) {
          throw errorOf(error as ServiceError, signal);
        } finally {
          signal?.removeEventListener("abort", cancel);
          cancel();
        }
      };
      const nothing = { header: new Headers(), trailer: new Headers() };
      return { stream: true, service: method.parent, method, message: messages(), ...nothing };
    },
  };
}

function codecOf<I extends DescMessage, O extends DescMessage>(method: DescMethod & { input: I; output: O }) {
  return [
    `/${method.parent.typeName}/${method.name}`,
    (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
    (bytes: Buffer) => fromBinary(method.output, bytes),
  ] as const;
}

function encodable<I extends DescMessage>(schema: I, input: MessageInitShape<I>): MessageShape<I> {
  return isMessage(input, schema) ? (input as MessageShape<I>) : create(schema, input);
}

function optionsOf(timeoutMs: number | undefined): CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function metadataOf(header: ConstructorParameters<typeof Headers>[0]): Metadata {
  const metadata = new Metadata();
  new Headers(header).forEach((value, name) => metadata.set(name, value));
  return metadata;
}

function copyInto(header: Headers, metadata: Metadata): void {
  for (const [name, values] of Object.entries(metadata.toJSON()))
    for (const value of values) header.append(name, typeof value === "string" ? value : value.toString("base64"));
}

function errorOf(error: ServiceError | null, signal: AbortSignal | undefined): ConnectError {
  if (signal?.aborted) return ConnectError.from(signal.reason, Code.Canceled);
  if (!error) return new ConnectError("no answer", Code.Internal);
  const trailer = new Headers();
  if (error.metadata) copyInto(trailer, error.metadata);
  return findTrailerError(trailer) ?? new ConnectError(error.details, error.code as number, trailer);
}
