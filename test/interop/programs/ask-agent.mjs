// One call of the Workload API client, with its result as JSON.
import { WorkloadApiClient } from 'authsec-sdk'

export async function askAgent({ method, args = [] }) {
  const client = new WorkloadApiClient()
  try {
    return toPlain(await client[method](...args))
  } finally {
    await client.close()
  }
}

function toPlain(value) {
  // A token prints itself as redacted; here the test wants it.
  if (value?.token) return { ...JSON.parse(JSON.stringify(value)), token: value.token }
  if (Array.isArray(value)) return value.map(toPlain)
  if (value?.getJwtBundle)
    return Object.fromEntries([...value].map((bundle) => [bundle.trustDomain.name, bundle.toJSON()]))
  if (value?.svids) return value.svids.map(({ id, hint }) => ({ id: id.toString(), hint }))
  return value
}
