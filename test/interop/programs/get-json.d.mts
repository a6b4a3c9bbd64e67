import type { Agent } from 'node:https'

export declare function getJson(
  url: string,
  agent: Agent,
): Promise<{ status: number; body: unknown; serial: string | undefined; reused: boolean }>
