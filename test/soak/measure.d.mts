export interface Measure {
  heap: number
  rss: number
  external: number
  handles: number
}

export interface ProcessorTime {
  ran: number
  waited: number
}

export function measure(): Promise<Measure>
export function processorTime(): ProcessorTime
export function processorShare(begin: ProcessorTime, end: ProcessorTime): number
