import type { sendUnaryData, ServerUnaryCall, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js'
import { SpiffeId } from '../../spiffe-id/index.js'
import type { X509Svid } from '../../svid/index.js'
import type { Board, WorkloadSnapshot } from './board.js'
import { CallFailure, invalidArgument, noIdentity } from './call-status.js'
import type { Dialect, Message } from './dialect.js'
import { serveStream } from './serve-stream.js'
import { serveUnary } from './serve-unary.js'
import type { TokenDesk } from './token-desk.js'
import type { WireService } from './wire-service.js'

interface JwtSvidRequest {
  audience: readonly string[]
  spiffeId: string
}

interface ValidateRequest {
  audience: string
  svid: string
}

/**
 * The Workload API over one board, in one dialect. The WIT profile is not offered: its two calls answer UNIMPLEMENTED,
 * as grpc-js does for every method without a handler.
 */
export function workloadService(
  dialect: Dialect,
  board: Board,
  tokens: TokenDesk,
): { definition: WireService['definition']; handlers: UntypedServiceImplementation } {
  const { definition, encode } = dialect.load()
  const write = (method: string, message: Message) => encode(method, board.rewrite?.(method, message) ?? message)

  const stream =
    (method: string, message: (snapshot: WorkloadSnapshot) => Message) =>
    (call: ServerWritableStream<unknown, Buffer>) =>
      serveStream(call, board, {
        encode: (snapshot) => write(method, message(snapshot)),
        refusal: (status) => dialect.refusal(method, status),
      })
  const unary =
    <Request>(method: string, message: (request: Request, snapshot: WorkloadSnapshot) => Promise<Message>) =>
    (call: ServerUnaryCall<Request, Buffer>, respond: sendUnaryData<Buffer>) =>
      serveUnary(call, respond, board, {
        answer: async (request: Request, snapshot) => write(method, await message(request, snapshot)),
        refusal: (status) => dialect.refusal(method, status),
      })

  return {
    definition,
    handlers: {
      FetchX509SVID: stream('FetchX509SVID', dialect.x509Svids),
      FetchX509Bundles: stream('FetchX509Bundles', dialect.x509Bundles),
      FetchJWTBundles: stream('FetchJWTBundles', dialect.jwtBundles),
      FetchJWTSVID: unary<JwtSvidRequest>('FetchJWTSVID', async ({ audience, spiffeId }, { svids }) => {
        if (audience.length === 0 || audience.includes('')) {
          throw new CallFailure(invalidArgument('audience: name at least one, and none of them empty'))
        }
        const entries = pick(svids, spiffeId).map(async (svid) => ({
          svid,
          token: await tokens.sign(svid.id, audience),
        }))
        return dialect.jwtSvids(await Promise.all(entries))
      }),
      ValidateJWTSVID: unary<ValidateRequest>('ValidateJWTSVID', async ({ audience, svid }) => {
        if (audience === '') throw new CallFailure(invalidArgument('audience: must be given'))
        if (svid === '') throw new CallFailure(invalidArgument('svid: must be given'))
        const validated = await tokens.validate(svid, audience).catch((cause: unknown) => {
          const reason = cause instanceof Error ? cause.message : 'unknown'
          throw new CallFailure(invalidArgument(`the JWT-SVID is not valid: ${reason}`), { cause })
        })
        return dialect.validated(validated)
      }),
    },
  }
}

/** The identities that a request is for: the one that it names, or all. */
function pick(svids: readonly X509Svid[], requested: string): readonly X509Svid[] {
  if (requested === '') return svids
  const id = parseId(requested)
  const picked = svids.filter((svid) => svid.id.equals(id))
  if (picked.length === 0) throw new CallFailure(noIdentity)
  return picked
}

function parseId(text: string): SpiffeId {
  try {
    return SpiffeId.parse(text)
  } catch (cause) {
    throw new CallFailure(invalidArgument('spiffe_id: not a SPIFFE ID'), { cause })
  }
}
