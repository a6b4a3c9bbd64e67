import { once } from 'node:events'
import * as tls from 'node:tls'
import { beforeAll, describe, expect, test } from 'vitest'
import { serverKinds } from '../attacks/kinds.js'
import { InvalidMaterialError } from '../../src/errors/index.js'
import { gullible } from '../tls/network.js'
import { TestCa, type Credential } from '../tls/test-ca.js'
import { TestSource } from '../tls/test-source.js'

let a: TestCa
let client: Credential

beforeAll(async () => {
  a = await TestCa.create()
  client = await a.leaf({ uris: ['spiffe://a.test/client'] })
})

/** The serial number of the certificate that a new connection is shown. */
async function shown(port: number): Promise<string> {
  const socket = tls.connect({ ...gullible(client), port, ALPNProtocols: ['h2', 'http/1.1'] })
  try {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().serialNumber.toLowerCase()
  } finally {
    socket.on('error', () => undefined).destroy()
  }
}

describe.each(serverKinds)('a server ($name)', ({ start }) => {
  for (const how of ['use', 'useQuietly'] as const)
    test(`shows each new connection the newest SVID (${how}), or nothing when there is none`, async () => {
      const source = new TestSource(await a.svid('spiffe://a.test/server'), a.bundle('a.test'))
      const { port } = await start(source)
      const serials = [await shown(port)]
      expect(serials).toEqual([source.getX509Svid().serialNumber])
      source[how](new InvalidMaterialError('ERR_X509_SVID_EXPIRED', 'it has run out'))
      await expect(shown(port)).rejects.toThrow()
      source[how](await a.svid('spiffe://a.test/server'))
      serials.push(await shown(port))
      expect(serials[1]).toBe(source.getX509Svid().serialNumber)
      expect(serials[1]).not.toBe(serials[0])
    })
})
