import { decodeJwt, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import { JwtBundleSet } from '../../src/bundle/index.js'
import { UntrustedPeerError } from '../../src/errors/index.js'
import { verifyJwtSvid } from '../../src/svid/index.js'
import { Random } from '../fuzz/random.js'
import { now, td } from '../standards/fixtures.js'
import { authority, bundlesOf, keysOf, verifyText, verifyToken } from '../standards/jwt-fixtures.js'

test('what is proved is a frozen value without the token', async () => {
  const verified = await verifyToken({ claims: { aud: ['x', 'a'], role: ['r'] } })
  expect(Object.isFrozen(verified)).toBe(true)
  expect(Object.keys(verified).sort()).toEqual(['audience', 'claims', 'expiresAt', 'id'])
  expect(verified.audience).toEqual(['x', 'a'])
  expect(verified.expiresAt).toEqual(new Date(now.getTime() + 300_000))
  expect(verified.claims).toMatchObject({ role: ['r'] })
})

test('without `now` the current time counts', async () => {
  const seconds = Math.floor(Date.now() / 1000)
  const bundles = new JwtBundleSet([td.jwtBundle()])
  const at = (exp: number) => verifyJwtSvid(td.token({ claims: { exp } }), bundles, { audience: 'a' })
  await expect(at(seconds + 60)).resolves.toBeDefined()
  await expect(at(seconds - 120)).rejects.toMatchObject({ code: 'ERR_JWT_SVID_EXPIRED' })
})

describe('size', () => {
  const long = td.token({ claims: { note: 'x'.repeat(16_000) } })

  test('a token of more than 16 KiB is refused unread, a shorter one is taken', async () => {
    expect(long.length).toBeGreaterThan(16_384)
    await expect(verifyText(long)).rejects.toMatchObject({ code: 'ERR_JWT_SVID_MALFORMED' })
    await expect(verifyToken({ claims: { note: 'x'.repeat(11_000) } })).resolves.toBeDefined()
  })

  test('the limit is an option', async () => {
    await expect(verifyText(long, undefined, { maxBytes: 65_536 })).resolves.toBeDefined()
    await expect(verifyText(td.token(), undefined, { maxBytes: 100 })).rejects.toMatchObject({
      code: 'ERR_JWT_SVID_MALFORMED',
    })
  })

  test('claims nested beyond reason are refused', async () => {
    const rawPayload = `{"sub":"spiffe://td/w","aud":"a","exp":9e9,"x":${'['.repeat(100)}${']'.repeat(100)}}`
    await expect(verifyToken({ rawPayload })).rejects.toMatchObject({ code: 'ERR_JWT_SVID_MALFORMED' })
  })
})

for (const value of [undefined, null, 5, {}, Buffer.from(td.token())]) {
  test(`${value === null ? 'null' : typeof value} is no token`, async () => {
    await expect(verifyText(value as string)).rejects.toMatchObject({ code: 'ERR_JWT_SVID_MALFORMED' })
  })
}

test('an invalid date is no time to verify for', async () => {
  await expect(verifyToken({}, { now: new Date(NaN) })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})

describe('beside bare jose', () => {
  const kinds = [
    ['ES256', 'ec-p256'],
    ['RS256', 'rsa-2048'],
    ['PS256', 'rsa-2048'],
  ] as const
  for (const [alg, type] of kinds) {
    test(`nothing of ${alg} that jose refuses is taken, and what is taken says the same`, async () => {
      const random = new Random(20)
      const { privateKey, publicKey } = keysOf(type)
      const bundles = bundlesOf(authority(type))
      const options = { algorithms: [alg], audience: 'a', currentDate: now, clockTolerance: 60 }
      const good = td.token({ header: { alg }, privateKey })
      const [header = '', payload = ''] = good.split('.').map((part) => Buffer.from(part, 'base64url').toString())
      const alphabet = '{}[]:,"\\ \t0123456789.eE+-aud\u0000\u00e9\ufeff'
      /** One character inserted, replaced or taken out. */
      const changed = (text: string) => {
        const at = random.below(text.length + 1)
        return (
          text.slice(0, at) + (alphabet[random.below(alphabet.length + 1)] ?? '') + text.slice(at + random.below(2))
        )
      }
      // Signed after the change, so that the signature is not what refuses it; or the text itself, changed.
      const inputs = [
        () => good,
        () => td.token({ rawHeader: changed(header), rawPayload: payload, signAs: alg, privateKey }),
        () => td.token({ rawHeader: header, rawPayload: changed(payload), signAs: alg, privateKey }),
        () => changed(good),
      ]
      let taken = 0
      for (let round = 0; round < 800; round++) {
        const text = inputs[round % inputs.length]!()
        const ours = await verifyText(text, bundles).catch((error: unknown) => {
          expect(error).toBeInstanceOf(UntrustedPeerError)
        })
        if (!ours) continue
        taken++
        const { payload: claims } = await jwtVerify(text, publicKey, options)
        expect({ ...ours.claims }).toEqual(claims)
      }
      // The good one, and some whose change did not matter.
      expect(taken).toBeGreaterThan(210)
    })
  }

  test('claims of every shape read as jose reads them', async () => {
    const random = new Random(21)
    const value = (depth: number): unknown => {
      const kind = random.below(depth > 3 ? 5 : 7)
      if (kind === 0) return null
      if (kind === 1) return random.below(2) === 0
      if (kind === 2) return (random.below(2_000_000) - 1_000_000) / 8
      if (kind === 3) return 1e21 * random.below(1000)
      if (kind === 4) return String.fromCodePoint(32 + random.below(0x2000), 0x1f600 + random.below(64), 34, 92, 10)
      if (kind === 5) return Array.from({ length: random.below(4) }, () => value(depth + 1))
      return Object.fromEntries(Array.from({ length: random.below(4) }, (_, at) => [`m${at}"\u0000`, value(depth + 1)]))
    }
    for (let round = 0; round < 200; round++) {
      const token = td.token({ claims: { x: value(0), y: value(0) } })
      expect({ ...(await verifyText(token)).claims }).toEqual(decodeJwt(token))
    }
  })
})

test('a header that was read before is judged with each token that carries it', async () => {
  const [header = '', payload = '', signature = ''] = td.token().split('.')
  await expect(verifyText(`${header}.${payload}.${signature}`)).resolves.toBeDefined()
  const another = bundlesOf(authority('ec-p384'))
  await expect(verifyText(`${header}.${payload}.${signature}`, another)).rejects.toMatchObject({
    code: 'ERR_AUTHORITY_NOT_FOUND',
  })
  const [, , forged = ''] = td.token({ privateKey: keysOf('ec-p256').privateKey }).split('.')
  await expect(verifyText(`${header}.${payload}.${forged}`)).rejects.toMatchObject({ code: 'ERR_JWT_SVID_SIGNATURE' })
  // More headers than are kept, so that the first one is read anew.
  for (let i = 0; i < 100; i++) {
    const token = td.token({ header: { kid: `unknown ${i}` } })
    await expect(verifyText(token)).rejects.toMatchObject({ code: 'ERR_AUTHORITY_NOT_FOUND' })
  }
  await expect(verifyText(`${header}.${payload}.${signature}`)).resolves.toBeDefined()
})
