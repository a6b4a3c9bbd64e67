import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { DevAgent } from '../../src/dev/agent/index.js'
import { X509Source } from '../../src/source/index.js'

const opened: AsyncDisposable[] = []

afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing[Symbol.asyncDispose]()
})

test('start() returns before there is an agent; the source is ready as soon as the agent is', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'authsec-test-'))
  opened.push({ [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) })
  const endpoint = `unix://${join(directory, 'web.sock')}`
  const source = X509Source.start({ endpoint })
  opened.push(source)
  for (const ask of [() => source.getX509Svid(), () => source.context])
    expect(ask).toThrow(expect.objectContaining({ code: 'ERR_WORKLOAD_API_UNAVAILABLE', endpoint }) as Error)
  expect(source.status()).toMatchObject({ state: 'connecting', svid: undefined })

  const agent = await DevAgent.start({ trustDomain: 'example.org', directory })
  opened.push(agent)
  await agent.workload('spiffe://example.org/web')
  await source.updates().next()
  expect(source.getX509Svid().id.toString()).toBe('spiffe://example.org/web')
})

test('start() throws at once for an option that cannot be', () => {
  expect(() => X509Source.start({ endpoint: 'http://127.0.0.1' })).toThrow(
    expect.objectContaining({ code: 'ERR_ENDPOINT_INVALID' }) as Error,
  )
})
