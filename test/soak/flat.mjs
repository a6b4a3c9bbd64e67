/** Part of the samples that is not judged: code is compiled, pools and heaps reach their size. */
const warmUp = 0.25

/**
 * Says whether a quantity stays what it is: the median of the last third of the judged samples may be above that of the
 * first third by `allowed`, no more.
 * @param samples - `[{ at, value }]`, `at` on any axis (seconds, rotations), in order.
 */
export function judgeFlat(name, samples, allowed) {
  const judged = samples.slice(Math.ceil(samples.length * warmUp))
  const third = Math.floor(judged.length / 3)
  if (third < 3) throw new Error(`${name}: ${samples.length} samples are too few to judge`)
  const [begin, end] = [middle(judged.slice(0, third)), middle(judged.slice(-third))]
  const growth = end.value - begin.value
  const summary = {
    begin: begin.value,
    end: end.value,
    max: Math.max(...samples.map(({ value }) => value)),
    growth,
    allowed,
    growthPerUnit: round(growth / (end.at - begin.at)),
  }
  const violation = growth > allowed ? `${name} grew by ${round(growth)}; allowed are ${allowed}` : undefined
  return { summary, violation }
}

function middle(samples) {
  return { at: median(samples.map(({ at }) => at)), value: median(samples.map(({ value }) => value)) }
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[at] : (sorted[at - 1] + sorted[at]) / 2
}

function round(value) {
  return Math.round(value * 1000) / 1000
}
