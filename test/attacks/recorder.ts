import { authorizeAny, type Authorize } from '../../src/tls/index.js'
import { codeOf } from '../tls/network.js'

export interface ServerOptions {
  authorize?: Authorize
  clients?: 'required' | 'optional'
  minVersion?: 'TLSv1.2' | 'TLSv1.3'
}

/** Notes what reaches a handler, and the codes of the refusals that are reported. */
export function recorder(options: ServerOptions) {
  const handled: string[] = []
  const rejected: unknown[] = []
  const onRejected = (error: Error) => void rejected.push(codeOf(error))
  return { handled, rejected, options: { authorize: authorizeAny(), ...options, onRejected } }
}
