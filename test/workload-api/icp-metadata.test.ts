import { expect, test } from 'vitest'
import { buildIcpMetadata, type IcpMetadataSource } from '../../src/workload-api/icp-metadata.js'

const build = (env: NodeJS.ProcessEnv, more: Partial<IcpMetadataSource> = {}) =>
  buildIcpMetadata({ env, endpoint: 'unix', pid: 42, platform: 'linux', ...more })

test('the environment of a pod and of a container become headers', () => {
  expect(
    build({
      POD_NAMESPACE: 'shop',
      POD_NAME: 'web-1',
      POD_UID: 'u-1',
      SERVICE_ACCOUNT: 'web',
      POD_LABEL_APP: 'web',
      POD_LABEL_Environment: 'prod',
      DOCKER_CONTAINER_ID: 'c0ffee',
      DOCKER_CONTAINER_NAME: 'web',
      DOCKER_IMAGE_NAME: 'shop/web:1',
      'DOCKER_LABEL_com.example.team': 'a team',
      DOCKER_LABEL_COM_EXAMPLE_NAME: 'kept as it is',
      HOME: '/root',
    }),
  ).toEqual({
    entries: {
      'x-k8s-namespace': 'shop',
      'x-k8s-pod-name': 'web-1',
      'x-k8s-pod-uid': 'u-1',
      'x-k8s-service-account': 'web',
      'x-k8s-pod-label-app': 'web',
      'x-k8s-pod-label-environment': 'prod',
      'x-docker-container-id': 'c0ffee',
      'x-docker-container-name': 'web',
      'x-docker-image-name': 'shop/web:1',
      'x-docker-label-com.example.team': 'a team',
      'x-docker-label-com_example_name': 'kept as it is',
    },
    warnings: [],
  })
})

test('the process id goes out over tcp only', () => {
  expect(build({}, { endpoint: 'tcp' }).entries).toEqual({ 'x-pid': '42' })
  expect(build({}).entries).toEqual({})
})

test('empty values and nameless labels are skipped, white space around a value is cut', () => {
  expect(
    build({ POD_NAME: '', POD_UID: '  ', POD_NAMESPACE: ' shop ', DOCKER_LABEL_: 'x', DOCKER_LABEL_A: '' }),
  ).toEqual({
    entries: { 'x-k8s-namespace': 'shop' },
    warnings: [],
  })
})

for (const [what, name, value] of [
  ['a letter outside ASCII', 'POD_NAME', 'café'],
  ['a line break', 'POD_NAME', 'a\nb'],
  ['a tab', 'POD_NAME', 'a\tb'],
  ['a name with a slash', 'DOCKER_LABEL_app.kubernetes.io/name', 'web'],
  ['a name with a space', 'DOCKER_LABEL_my label', 'web'],
  ['a name for bytes', 'DOCKER_LABEL_FOO-BIN', 'web'],
] as const)
  test(`${what} drops that header with one warning that names the variable and not its value`, () => {
    const { entries, warnings } = build({ [name]: value, POD_UID: 'u-1' })
    expect(entries).toEqual({ 'x-k8s-pod-uid': 'u-1' })
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(name)
    expect(warnings[0]).not.toContain(value)
  })

test('labels name what a variable cannot', () => {
  const { entries } = build({}, { labels: { pod: { 'Team.Example': 'a' }, docker: { 'org.label': 'b' } } })
  expect(entries).toEqual({ 'x-k8s-pod-label-team.example': 'a', 'x-docker-label-org.label': 'b' })
})

test('all headers together stay under 8 KiB; the labels that come last are left out', () => {
  const env = Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [`DOCKER_LABEL_L${index}`, 'v'.repeat(1_000)]),
  )
  const { entries, warnings } = build({ POD_NAME: 'web', ...env })
  expect(Object.keys(entries)).toHaveLength(1 + 7)
  expect(entries['x-k8s-pod-name']).toBe('web')
  expect(entries['x-docker-label-l0']).toBeDefined()
  expect(warnings).toHaveLength(13)
})

test('many small headers count as HTTP/2 counts them, 32 bytes for each besides its own', () => {
  const labels = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`l${index}`, 'v']))
  const { entries, warnings } = build({}, { labels: { pod: labels } })
  const bytes = Object.entries(entries).reduce((sum, [key, value]) => sum + key.length + value.length + 32, 0)
  expect(bytes).toBeGreaterThan(7_000)
  expect(bytes).toBeLessThan(8_192 - 500)
  expect(Object.keys(entries).length + warnings.length).toBe(400)
})

test('Windows means variables whatever their case', () => {
  expect(build({ docker_label_Team: 'a' }, { platform: 'win32' }).entries).toEqual({ 'x-docker-label-team': 'a' })
  expect(build({ docker_label_Team: 'a' }).entries).toEqual({})
})

test('a value that replaces a shorter one counts in full', () => {
  const long = 'v'.repeat(3_000)
  const labels = { pod: { a: long, b: long, c: long } }
  const { entries } = build({ POD_LABEL_a: 'short', POD_LABEL_b: 'short', POD_LABEL_c: 'short' }, { labels })
  const bytes = Object.entries(entries).reduce((sum, [key, value]) => sum + key.length + value.length + 32, 0)
  expect(bytes).toBeLessThanOrEqual(7.5 * 1024)
})
