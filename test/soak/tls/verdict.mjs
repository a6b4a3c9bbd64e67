import { judgeFlat } from '../flat.mjs'

const mebibyte = 1024 * 1024
/** What each measure of either process may have grown by from the beginning of the judged time to its end. */
const allowed = { heap: 3 * mebibyte, external: 2 * mebibyte, rss: 24 * mebibyte, handles: 24 }
const intrusions = ['stranger calls', 'impostor calls', 'stranger answers', 'impostor answers']

/** What a run came to, and in which respects it was not as it should be. */
export function judge({ seconds, seed, kinds, samples, counts, rotations, rollOvers, listeners, processor }) {
  const violations = []
  const expect = (holds, text) => holds || violations.push(text)
  const { counts: seen } = samples.at(-1).service
  const flat = {}
  for (const who of ['callers', 'service'])
    for (const [name, limit] of Object.entries(allowed)) {
      const series = samples.map((sample) => ({ at: sample.rotations, value: sample[who][name] }))
      const { summary, violation } = judgeFlat(`${name} of the ${who}`, series, limit)
      flat[`${who}.${name}`] = summary
      expect(!violation, violation)
    }
  const wronglyAdmitted = counts.wronglyAdmitted + seen.wronglyAdmitted
  const wronglyBelieved = counts.wronglyBelieved + seen.wronglyBelieved
  expect(wronglyAdmitted === 0, `${wronglyAdmitted} requests of intruders were admitted`)
  expect(wronglyBelieved === 0, `${wronglyBelieved} requests went to pretenders`)
  for (const [reason, times] of Object.entries(counts.failures)) violations.push(`${times} requests failed: ${reason}`)

  // So much at least has to have been tried, or all of that says little. Where other programs keep the processors busy,
  // everything takes longer in the proportion that both processes report.
  const share = Math.min(processor.callers.share, processor.service.share)
  const elapsed = samples.at(-1).seconds
  const enough = (times, perSecond, what) =>
    expect(
      times > 0 && times >= elapsed * perSecond * share,
      `${times} ${what} in ${elapsed} s are too few (share ${share})`,
    )
  for (const kind of kinds) {
    enough(counts.answered[kind] ?? 0, 3, `requests by ${kind}`)
    for (const who of intrusions) {
      const attempts = Object.entries(counts.refused).filter(([reason]) => reason.startsWith(`${who}, ${kind}:`))
      enough(sum(attempts.map(([, times]) => times)), 1 / 5, `attempts of "${who}" by ${kind}`)
    }
  }
  enough(rotations, 15, 'rotations of the callers')
  enough(seen.rotations, 15, 'rotations of the servers')
  enough(rollOvers, 1 / 12, 'roll-overs')
  expect(listeners === 0, `${listeners} listeners were left on the source of the callers`)

  const { answered, failed, refused, slowestMs } = counts
  const kept = samples.map(({ service, ...sample }) => ({ ...sample, service: { ...service, counts: undefined } }))
  return {
    violations,
    seconds,
    seed,
    requests: sum(Object.values(answered)),
    failed,
    wronglyAdmitted,
    wronglyBelieved,
    rotations: { callers: rotations, service: seen.rotations },
    rollOvers,
    answered,
    slowestMs,
    refused,
    processor,
    flat,
    samples: kept,
  }
}

/** A sample in one line. */
export function line({ seconds, rotations, callers, service }, { answered, failed, wronglyAdmitted }) {
  const mib = ({ heap, rss }) => `heap ${(heap / mebibyte).toFixed(1)} rss ${(rss / mebibyte).toFixed(0)} MiB`
  return (
    `${seconds} s: ${rotations} rotations, ${sum(Object.values(answered))} requests, ${failed} failed, ` +
    `${wronglyAdmitted} wrongly admitted, callers ${mib(callers)}, service ${mib(service)}`
  )
}

function sum(numbers) {
  return numbers.reduce((total, one) => total + one, 0)
}
