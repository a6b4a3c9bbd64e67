// Medians of interleaved rounds with a 95 % interval: these machines are noisy, so only ratios within one run count.

/**
 * Runs each candidate once a round, in an order that rotates, and keeps every sample.
 * @param {Record<string, () => Promise<number>>} candidates - Each gives one sample.
 * @returns {Promise<Record<string, number[]>>}
 */
export async function interleave(candidates, rounds) {
  const names = Object.keys(candidates)
  const samples = Object.fromEntries(names.map((name) => [name, []]))
  for (const name of names) await candidates[name]() // once to warm caches, not counted
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round) % names.length]
      samples[name].push(await candidates[name]())
    }
  }
  return samples
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** The 95 % interval of the median from order statistics (binomial), which assumes nothing about the distribution. */
export function interval(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const n = sorted.length
  const reach = (1.96 * Math.sqrt(n)) / 2
  const low = Math.max(0, Math.floor(n / 2 - reach))
  const high = Math.min(n - 1, Math.ceil(n / 2 + reach) - 1)
  return [sorted[low], sorted[high]]
}

/** One row: the median with its interval, and the ratio to a baseline taken round by round. */
export function summarize(samples, baseline) {
  return Object.fromEntries(
    Object.entries(samples).map(([name, values]) => {
      const ratios = values.map((value, round) => value / samples[baseline][round])
      return [
        name,
        { median: median(values), interval: interval(values), ratio: median(ratios), ratioInterval: interval(ratios) },
      ]
    }),
  )
}

/** A goal counts as met when it lies within the interval or on its easy side. */
export function judge(row, [, high], goal) {
  return `${row}: at least ${goal} of the baseline is ${high >= goal ? 'met' : 'missed'}`
}

export function judgeAtMost(row, [low], goal, unit) {
  return `${row}: at most ${goal} ${unit} is ${low <= goal ? 'met' : 'missed'}`
}

/** What people read: one table, or several where rows have different baselines. */
export function report({ tables, ...result }) {
  if (!tables) return table(result)
  return tables.map((one) => table({ ...result, ...one, name: `${result.name}: ${one.title}` })).join('\n')
}

function table({ name, rounds, unit, baseline, rows, notes = [] }) {
  const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toPrecision(3))
  const cells = [
    ['', `median ${unit}`, '95 %', `ratio to ${baseline}`, '95 %'],
    ...Object.entries(rows).map(([row, it]) => [
      row,
      number(it.median),
      it.interval.map(number).join(' – '),
      number(it.ratio),
      it.ratioInterval.map(number).join(' – '),
    ]),
  ]
  const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)))
  const lines = cells.map((row) =>
    row.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[0]))).join('  '),
  )
  return [`\n${name}, ${rounds} rounds`, ...lines, ...notes].join('\n')
}
