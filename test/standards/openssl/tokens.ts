import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { JwtBundle, JwtBundleSet } from '../../../src/bundle/index.js'
import { derInteger, derSequence, TestTrustDomain } from '../../../src/dev/testing/index.js'
import { DerReader, derTag } from '../../../src/encoding/index.js'
import { TrustDomain } from '../../../src/spiffe-id/index.js'
import { verifyJwtSvid } from '../../../src/svid/index.js'
import { newKey, type KeyKind } from './openssl-ca.js'
import { patienceMs, type Openssl } from './openssl.js'

const trustDomain = TrustDomain.parse('example.org')
const id = 'spiffe://example.org/ns/prod/sa/web'
const pss = (salt: number) => ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', `rsa_pss_saltlen:${salt}`]

interface Algorithm {
  kind: KeyKind
  hash: string
  /** Octets of each of the two numbers of an ECDSA signature. */
  octets?: number
  how?: readonly string[]
}

/** The nine of JWT-SVID §2.1, as `openssl dgst` makes and checks them. */
const algorithms: Readonly<Record<string, Algorithm>> = {
  RS256: { kind: 'RSA 2048', hash: '-sha256' },
  RS384: { kind: 'RSA 2048', hash: '-sha384' },
  RS512: { kind: 'RSA 3072', hash: '-sha512' },
  ES256: { kind: 'EC P-256', hash: '-sha256', octets: 32 },
  ES384: { kind: 'EC P-384', hash: '-sha384', octets: 48 },
  ES512: { kind: 'EC P-521', hash: '-sha512', octets: 66 },
  PS256: { kind: 'RSA 2048', hash: '-sha256', how: pss(32) },
  PS384: { kind: 'RSA 2048', hash: '-sha384', how: pss(48) },
  PS512: { kind: 'RSA 3072', hash: '-sha512', how: pss(64) },
}

/** JWT-SVIDs that the openssl command signed for us to prove, and ours for it. */
export function testOpensslTokens(openssl: () => Openssl): void {
  const keys = new Map<KeyKind, string>()
  beforeAll(async () => {
    for (const { kind } of Object.values(algorithms)) {
      if (!keys.has(kind)) keys.set(kind, await newKey(openssl(), `jwt ${kind}`, kind))
    }
  }, patienceMs)

  const sign = async (alg: string, name: string, how?: readonly string[]) => {
    const { kind, hash, how: usual = [] } = algorithms[alg]!
    const exp = Math.floor(Date.now() / 1000) + 300
    const parts = [
      { alg, kid: 'openssl', typ: 'JWT' },
      { sub: id, aud: ['a'], exp },
    ]
    const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
    const [text, signature] = [openssl().path(`${name}.txt`), openssl().path(`${name}.sig`)]
    await writeFile(text, signed)
    await openssl().run('dgst', hash, ...(how ?? usual), '-sign', keys.get(kind)!, '-out', signature, text)
    return { signed, signature: await readFile(signature) }
  }
  const publicPem = (alg: string) => openssl().run('pkey', '-in', keys.get(algorithms[alg]!.kind)!, '-pubout')
  const prove = async (alg: string, { signed, signature }: { signed: string; signature: Uint8Array }) => {
    const publicKey = createPublicKey(await publicPem(alg))
    const bundle = JwtBundle.fromAuthorities(trustDomain, [{ keyId: 'openssl', publicKey }])
    const token = `${signed}.${Buffer.from(signature).toString('base64url')}`
    return (await verifyJwtSvid(token, new JwtBundleSet([bundle]), { audience: 'a' })).id.toString()
  }
  const refused = { name: 'UntrustedPeerError', code: 'ERR_JWT_SVID_SIGNATURE' }

  for (const [alg, { octets, hash, how = [], kind }] of Object.entries(algorithms)) {
    describe(alg, () => {
      test('what openssl signed is proved', async () => {
        const { signed, signature } = await sign(alg, alg)
        expect(await prove(alg, { signed, signature: octets ? joined(signature, octets) : signature })).toBe(id)
        const other = signed.replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A'))
        const answer = prove(alg, { signed: other, signature: octets ? joined(signature, octets) : signature })
        await expect(answer).rejects.toMatchObject({ name: 'UntrustedPeerError' })
      })

      test('what we signed is proved by openssl', async () => {
        const td = new TestTrustDomain('example.org')
        const privateKey = await privateKeyOf(keys.get(kind)!)
        const [header, payload, signature] = td.token({ header: { alg }, privateKey }).split('.') as [
          string,
          string,
          string,
        ]
        const file = async (name: string, content: string | Uint8Array) => {
          const path = openssl().path(`ours ${alg}.${name}`)
          await writeFile(path, content)
          return path
        }
        const raw = Buffer.from(signature, 'base64url')
        const key = await file('pub', await publicPem(alg))
        const proof = await file('sig', octets ? split(raw, octets) : raw)
        const check = (text: string) => openssl().ask('dgst', hash, ...how, '-verify', key, '-signature', proof, text)
        expect(await check(await file('txt', `${header}.${payload}`))).toEqual({ code: 0, said: 'Verified OK\n' })
        expect((await check(await file('bad', `${header}.${payload}A`))).code).toBe(1)
      })
    })
  }

  test('an ECDSA signature in the form of certificates is refused', async () => {
    await expect(prove('ES256', await sign('ES256', 'der form'))).rejects.toMatchObject(refused)
  })
  test('an RSASSA-PSS signature with a salt of another length is refused', async () => {
    await expect(prove('PS256', await sign('PS256', 'salt', pss(20)))).rejects.toMatchObject(refused)
  })
}

async function privateKeyOf(path: string): Promise<KeyObject> {
  return createPrivateKey(await readFile(path))
}

/** From the DER form to the one of RFC 7518 §3.4. */
function joined(der: Uint8Array, octets: number): Buffer {
  const reader = new DerReader(der).enter(derTag.sequence, 'signature')
  const numbers = [reader.integer('r'), reader.integer('s')]
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex').replace(/^00/, '')
  return Buffer.from(numbers.map((number) => hex(number).padStart(octets * 2, '0')).join(''), 'hex')
}

function split(raw: Buffer, octets: number): Buffer {
  const number = (from: number) => derInteger(BigInt(`0x${raw.subarray(from, from + octets).toString('hex')}`))
  return derSequence(number(0), number(octets))
}
