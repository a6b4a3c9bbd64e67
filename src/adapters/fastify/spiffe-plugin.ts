import type { FastifyPluginCallback } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { Caller } from '../../tls/index.js'
import { callerOfRequest } from '../http/index.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** The proved sender of the request; `undefined` where nobody was proved. Needs `spiffePlugin`. */
    readonly caller: Caller | undefined
  }
}

const decorate: FastifyPluginCallback = (fastify, _options, done) => {
  fastify.decorateRequest('caller', {
    getter() {
      return callerOfRequest(this.raw)
    },
  })
  done()
}

/**
 * Gives every request the typed property `caller`. It admits everybody that the server admits: routes decide with
 * `requireSpiffeId`.
 */
export const spiffePlugin: FastifyPluginCallback = fastifyPlugin(decorate, { name: 'authsec-sdk', fastify: '5.x' })
