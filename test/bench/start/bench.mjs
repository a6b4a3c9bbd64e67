// From spawn to the first verified SVID, beside programs that make the same call with grpc-js and verify nothing.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { DevAgent } from 'authsec-sdk/dev-agent'
import { interleave, median, summarize } from '../statistics.mjs'

const file = (name) => fileURLToPath(new URL(name, import.meta.url))

export async function run({ rounds }) {
  const agent = await DevAgent.start({ trustDomain: 'bench.test' })
  const { endpoint } = await agent.workload('spiffe://bench.test/start')
  const phases = []

  /** Milliseconds from spawn until the program says that it has its SVID, or, when it says nothing, until it exits. */
  const time = async (args) => {
    const begin = process.hrtime.bigint()
    const child = spawn(process.execPath, args, {
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: endpoint },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let end
    let text = ''
    child.stdout.on('data', (chunk) => {
      end ??= process.hrtime.bigint()
      text += chunk
    })
    const [code] = await once(child, 'close')
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
    const [, where] = text.split('\n')
    if (where) phases.push(JSON.parse(where))
    return Number((end ?? process.hrtime.bigint()) - begin) / 1e6
  }

  try {
    const baseline = 'node -e 0'
    const samples = await interleave(
      {
        [baseline]: () => time(['-e', '0']),
        'X509Source.open()': () => time([file('source.mjs')]),
        'grpc-js, hand-written codecs': () => time([file('grpc-by-hand.mjs')]),
        'grpc-js, proto-loader': () => time([file('grpc-proto-loader.mjs')]),
      },
      rounds,
    )
    const byHand = samples['grpc-js, hand-written codecs']
    const toByHand = median(samples['X509Source.open()'].map((value, round) => value / byHand[round]))
    const where = Object.keys(phases[0]).map(
      (phase) => `${phase} ${median(phases.map((it) => it[phase])).toFixed(1)} ms`,
    )
    return {
      unit: 'ms',
      baseline,
      rows: summarize(samples, baseline),
      toByHand,
      notes: [
        `X509Source.open() to grpc-js with hand-written codecs: ${toByHand.toFixed(3)} (required: at most 1.10)`,
        `where the time goes: ${where.join(', ')}`,
      ],
    }
  } finally {
    await agent.close()
  }
}
