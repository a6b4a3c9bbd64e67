// How the demo prints: colour on a terminal, plain text elsewhere.
const colour = process.stdout.isTTY && !process.env['NO_COLOR']
const paint = (code) => (text) => (colour ? `\u001b[${code}m${text}\u001b[0m` : `${text}`)
const bold = paint(1)
const dim = paint(2)
const red = paint(31)
const green = paint(32)

let failed = 0
let passed = 0

export function heading(text) {
  console.log(`\n${bold(text)}`)
}

export function say(text) {
  console.log(`  ${text}`)
}

export function row(name, value) {
  console.log(`  ${dim(`${name}`.padEnd(24))} ${value}`)
}

export function table(head, rows) {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((cells) => `${cells[column]}`.length)))
  const line = (cells) => cells.map((cell, column) => `${cell}`.padEnd(widths[column])).join('  ')
  console.log(`  ${dim(line(head))}`)
  for (const cells of rows) console.log(`  ${line(cells)}`)
}

/** Shows one claim and remembers whether it held. */
export function check(claim, held) {
  if (held) passed++
  else failed++
  console.log(`  ${held ? green('✓') : red('✗')} ${claim}`)
}

/** Ends the demo: exit code 0 only when every claim held. */
export function finish(remark) {
  const verdict = failed === 0 && passed > 0 ? green(`all ${passed} claims held`) : red(`${failed} claims failed`)
  console.log(`\n${verdict}, ${remark}`)
  process.exit(failed === 0 && passed > 0 ? 0 : 1)
}
