import { join } from 'node:path'

/** Beside the lines for people, a JSON report for whoever set `REPORTS` to a directory: CI counts them. */
export function reports(name: string): { reporters: string[]; outputFile?: { json: string } } {
  const directory = process.env['REPORTS']
  if (!directory) return { reporters: ['default'] }
  return { reporters: ['default', 'json'], outputFile: { json: join(directory, `${name}-${process.pid}.json`) } }
}
