import { createPrivateKey, generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { sameKey } from '../../src/encoding/index.js'

test('keys are compared without leaving an error behind that spoils the next one', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pkcs8 = ec.privateKey.export({ type: 'pkcs8', format: 'der' })
  expect(sameKey(ec.publicKey, rsa.publicKey)).toBe(false)
  expect(sameKey(ec.publicKey, ec.privateKey)).toBe(false)
  const again = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  expect(sameKey(again, ec.privateKey)).toBe(true)
  expect(sameKey(again, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)).toBe(false)
})
