import type { ServerResponse } from 'node:http'

/** As much of a Fastify reply as an answer needs. */
export interface ReplyLike {
  code(statusCode: number): { header(name: string, value: string): { send(payload: unknown): unknown } }
}

/** Fits `http.createServer`, `app.get()` of Express and `app.get()` of Fastify. */
export type ProbeHandler = (request: unknown, response: ServerResponse | ReplyLike) => void

export interface ProbeAnswer {
  readonly statusCode: number
  readonly body: object
}

/** A handler that asks `look` at each request. */
export function probeHandler(look: () => ProbeAnswer): ProbeHandler {
  return (_request, response) => {
    const { statusCode, body } = look()
    if ('code' in response) {
      // An object, so that Fastify says what it is.
      response.code(statusCode).header('cache-control', 'no-store').send(body)
      return
    }
    response.writeHead(statusCode, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(JSON.stringify(body))
  }
}
