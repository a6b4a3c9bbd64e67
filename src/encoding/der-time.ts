import { derFault, derTag, type DerReader } from './der-reader.js'

/** Reads a UTCTime or GeneralizedTime in the one form RFC 5280 §4.1.2.5 allows: seconds, and `Z`. Milliseconds. */
export function readDerTime(reader: DerReader, what: string): number {
  const { tag, contents } = reader.any(what)
  const digits = tag === derTag.utcTime ? 12 : tag === derTag.generalizedTime ? 14 : 0
  if (digits === 0) throw derFault(`${what}: not a time`)
  if (contents.length !== digits + 1 || contents[digits] !== 0x5a) {
    throw derFault(`${what}: a time has seconds and ends in Z`)
  }
  for (let i = 0; i < digits; i++) {
    const octet = contents[i] ?? 0
    if (octet < 0x30 || octet > 0x39) throw derFault(`${what}: a time is written in digits`)
  }
  const two = (at: number) => ((contents[at] ?? 0) - 0x30) * 10 + (contents[at + 1] ?? 0) - 0x30
  const short = two(0)
  // RFC 5280 §4.1.2.5.1: two digits stand for 1950 to 2049.
  const year = digits === 14 ? short * 100 + two(2) : short + (short >= 50 ? 1900 : 2000)
  const rest = digits - 10
  const [month, day, hour, minute, second] = [two(rest), two(rest + 2), two(rest + 4), two(rest + 6), two(rest + 8)]
  // Date.UTC reads the years 0 to 99 as 1900 to 1999; no such year is a time here.
  if (year < 1000 || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) {
    throw derFault(`${what}: no such time`)
  }
  if (day < 1 || day > daysIn(year, month)) throw derFault(`${what}: no such day`)
  return Date.UTC(year, month - 1, day, hour, minute, second)
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}
