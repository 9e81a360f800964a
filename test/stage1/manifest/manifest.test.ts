import assert from 'node:assert/strict'
import { utf8 } from '../../../attestation/base/index.ts'
import { hmac } from '../../../attestation/crypto/index.ts'
import {
  acIdentifier,
  acIdentifierFrom,
  acName,
  acNameFrom,
  appFromOciConfig,
  formatTreeDigest,
  imageId,
  imageManifestFromOci,
  type PodManifest,
  parseImageManifest,
  parseOciImageConfig,
  parsePodManifest,
  parseTreeDigest,
  podManifestBytes,
  readPodManifest,
  redactManifest,
  rootHashOf,
} from '../../../stage1/manifest/index.ts'

const HEX = 'ab'.repeat(32)
const bytes = (value: unknown): Uint8Array => utf8(JSON.stringify(value))

describe('AC names and identifiers', () => {
  it('are what the specification says', () => {
    for (const ok of ['a', 'busybox', 'a-b-1', '0']) assert.equal(acName(ok), ok)
    for (const ok of ['example.com/a_b~c-1.2', 'a', `sha256-${HEX}`]) assert.equal(acIdentifier(ok), ok)
  })
  for (const bad of ['', '-', 'a-', '-a', 'a--b', 'A', 'a.b', 'a b', 'a/b', 'ä', 'a\n', 'a'.repeat(64)]) {
    it(`refuse ${JSON.stringify(bad.slice(0, 20))} as a name`, () => assert.throws(() => acName(bad), RangeError))
  }
  for (const bad of ['', '/a', 'a/', 'a//b', 'a..b', 'a-/b', 'A', 'a:b', 'a@b', 'a'.repeat(513)]) {
    it(`refuse ${JSON.stringify(bad.slice(0, 20))} as an identifier`, () =>
      assert.throws(() => acIdentifier(bad), RangeError))
  }
  it('are made of any text', () => {
    assert.equal(
      acIdentifierFrom(`docker://localhost:5000/Foo_.bar:1.2@sha256:${HEX}`),
      `docker/localhost-5000/foo-bar-1.2-sha256-${HEX}`,
    )
    for (const odd of ['', '///', '..', '--', 'Ä/ö', '_x_/-y-', 'a'.repeat(2000), '~.~']) {
      acIdentifier(acIdentifierFrom(odd))
      acName(acNameFrom(odd))
    }
    assert.equal(acNameFrom(`docker://h:5/x/My_App:1@sha256:${HEX}`), 'my-app')
    assert.equal(acNameFrom('oci:/srv/bb:latest'), 'bb')
  })
})

describe('image IDs and tree digests', () => {
  it('are taken whole and in one spelling', () => {
    assert.equal(imageId(`sha256-${HEX}`), `sha256-${HEX}`)
    assert.equal(rootHashOf(parseTreeDigest(`erofs-verity-2:sha256:${HEX}`)), HEX)
    assert.equal(formatTreeDigest(HEX), `erofs-verity-2:sha256:${HEX}`)
  })
  for (const bad of [
    HEX,
    `sha256:${HEX}`,
    `sha256-${HEX}0`,
    `sha256-${HEX.toUpperCase()}`,
    `md5-${HEX}`,
    `sha512-${HEX}${HEX}`,
    '../x',
  ]) {
    it(`refuse ${bad.slice(0, 24)} as an image ID`, () => assert.throws(() => imageId(bad), RangeError))
  }
  for (const bad of [
    HEX,
    `erofs-verity-1:sha256:${HEX}`,
    `erofs-verity-3:sha256:${HEX}`,
    `erofs-verity-2:sha512:${HEX}`,
    `erofs-verity-2:sha256:${HEX.slice(1)}`,
  ]) {
    it(`refuse ${bad.slice(0, 24)} as a tree digest`, () => assert.throws(() => parseTreeDigest(bad), RangeError))
  }
})

describe('OCI configurations', () => {
  const config = (more: object = {}): Uint8Array =>
    bytes({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [`sha256:${HEX}`] }, ...more })
  const app = (c: object) => appFromOciConfig(parseOciImageConfig(config({ config: c })))

  it('become an app: Entrypoint then Cmd, user and group, / and PATH where nothing is said', () => {
    const full = app({ Entrypoint: ['/e'], Cmd: ['c'], User: '1:2', WorkingDir: '/w', Env: ['PATH=/p', 'A=b=c', 'E='] })
    assert.deepEqual(full.exec, ['/e', 'c'])
    assert.deepEqual([full.user, full.group, full.workingDirectory], ['1', '2', '/w'])
    assert.deepEqual(full.environment, [
      { name: 'PATH', value: '/p' },
      { name: 'A', value: 'b=c' },
      { name: 'E', value: '' },
    ])
    const empty = app({ Entrypoint: null, Cmd: null, Env: null })
    assert.deepEqual([empty.exec, empty.user, empty.group, empty.workingDirectory], [[], '0', '0', '/'])
    assert.equal(empty.environment[0]?.name, 'PATH')
  })

  it('that name a user only leave the group to the image', () => {
    const named = app({ User: 'web' })
    assert.equal(named.user, 'web')
    assert.ok(!('group' in named))
  })

  describe('with volumes', () => {
    const points = (...paths: string[]) =>
      app({ Volumes: Object.fromEntries(paths.map((p) => [p, {}])) }).mountPoints.map((p) => [p.name, p.path])

    it('have a mount point for each, named after its path, that wants no volume', () => {
      assert.deepEqual(app({ Volumes: { '/var/lib/My_data/': {} } }).mountPoints, [
        { name: 'volume-var-lib-my-data', path: '/var/lib/My_data', readOnly: false, optional: true },
      ])
      assert.deepEqual([app({}).mountPoints, app({ Volumes: null }).mountPoints], [[], []])
    })

    it('have them in one order, each place once, no two of one name', () => {
      const sorted = [
        ['volume-a-b', '/a-b'],
        ['volume-a-b-2', '/a/b'],
        ['volume-a-b-3', '/a_b'],
      ]
      assert.deepEqual(points('/a/b', '/a_b', '/a//b/', '/a-b'), sorted)
      assert.deepEqual(points('/a-b', '/./a/b', '/a_b'), sorted)
      const [long, other] = [`/${'x'.repeat(70)}`, `/${'x'.repeat(71)}`]
      assert.deepEqual(points(other, long), [
        [`volume-${'x'.repeat(56)}`, long],
        [`volume-${'x'.repeat(54)}-2`, other],
      ])
      assert.deepEqual(points('/ä', '/')[0], ['volume', '/'])
    })

    it('have none for what is no place of a root', () => {
      assert.deepEqual(points('data', '', 'C:\\data', '/a/../..', '/a\0b', '/\ud800'), [])
    })

    it('are refused where there are more than an app can have', () => {
      const Volumes = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`/v${i}`, {}]))
      assert.throws(() => app({ Volumes }), /Volumes: names 257 volumes, at most 256/)
    })
  })

  it('give the same manifest whatever the order of labels', () => {
    const of = (Labels: object) =>
      imageManifestFromOci(parseOciImageConfig(config({ config: { Labels } })), acIdentifier('x')).annotations
    assert.deepEqual(of({ b: '1', a: '2' }), of({ a: '2', b: '1' }))
  })

  it('are refused with every bad path at once', () => {
    const bad = bytes({
      os: 1,
      architecture: 'amd64',
      rootfs: { type: 'x', diff_ids: ['md5:1'] },
      config: { Env: ['=x'], Cmd: 'sh', User: 'a:b:c' },
    })
    assert.throws(
      () => parseOciImageConfig(bad),
      (err: Error & { code?: string }) => {
        assert.equal(err.code, 'MANIFEST_INVALID')
        for (const path of [
          '$.os',
          '$.rootfs.type',
          '$.rootfs.diff_ids[0]',
          '$.config.Env[0]',
          '$.config.Cmd',
          '$.config.User',
        ]) {
          assert.ok(err.message.includes(path), path)
        }
        return true
      },
    )
  })

  it('are refused when they are no JSON, no object, or hold NUL', () => {
    assert.throws(() => parseOciImageConfig(utf8('{')), { code: 'MANIFEST_NOT_JSON' })
    assert.throws(() => parseOciImageConfig(Uint8Array.of(0xff)), { code: 'MANIFEST_NOT_JSON' })
    for (const odd of [null, [], 'x', 1])
      assert.throws(() => parseOciImageConfig(bytes(odd)), { code: 'MANIFEST_INVALID' })
    assert.throws(() => parseOciImageConfig(config({ config: { Cmd: ['a\0b'] } })), { code: 'MANIFEST_INVALID' })
  })
})

describe('image manifests', () => {
  const manifest = (more: object = {}): Uint8Array =>
    bytes({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/a', ...more })

  it('are read with what is used of them, and keep working when there is more', () => {
    const parsed = parseImageManifest(
      manifest({
        labels: [{ name: 'os', value: 'linux' }],
        app: {
          exec: ['/a'],
          user: '0',
          group: '0',
          ports: [{ name: 'web', protocol: 'tcp', port: 80, count: 1, socketActivated: false }],
          mountPoints: [{ name: 'd', path: '/d' }],
        },
        new: 1,
      }),
    )
    assert.deepEqual(parsed.labels, [{ name: 'os', value: 'linux' }])
    assert.deepEqual(parsed.app?.mountPoints, [{ name: 'd', path: '/d', readOnly: false }])
    assert.equal(parseImageManifest(manifest()).app, undefined)
  })

  for (const [name, more] of Object.entries({
    'another kind': { acKind: 'PodManifest' },
    'a later version': { acVersion: '1.0.0' },
    'no version': { acVersion: undefined },
    'a bad name': { name: 'A b' },
    'a label twice': {
      labels: [
        { name: 'a', value: '1' },
        { name: 'a', value: '2' },
      ],
    },
    'an app without a user': { app: { exec: ['/a'], group: '0' } },
    'a working directory that climbs': { app: { exec: ['/a'], user: '0', group: '0', workingDirectory: '/a/../..' } },
    'a mount point that may or may not be optional': {
      app: { exec: ['/a'], user: '0', group: '0', mountPoints: [{ name: 'a', path: '/b', optional: 'yes' }] },
    },
    'a relative mount point': { app: { exec: ['/a'], user: '0', group: '0', mountPoints: [{ name: 'a', path: 'b' }] } },
  })) {
    it(`are refused with ${name}`, () =>
      assert.throws(() => parseImageManifest(manifest(more)), { code: 'MANIFEST_INVALID' }))
  }

  it('say what lies below them and what is left of all of it', () => {
    const half = 'a'.repeat(64)
    const parsed = parseImageManifest(
      manifest({
        dependencies: [
          { imageName: 'b', imageID: `sha512-${half}${'b'.repeat(64)}`, size: 5 },
          { imageName: 'c', labels: [{ name: 'version', value: '1' }] },
        ],
        pathWhitelist: ['/a/b', '/c/'],
      }),
    )
    assert.deepEqual(parsed.dependencies, [
      { imageName: 'b', imageID: `sha512-${half}`, labels: [] },
      { imageName: 'c', labels: [{ name: 'version', value: '1' }] },
    ])
    assert.deepEqual(parsed.pathWhitelist, ['/a/b', '/c/'])
    assert.equal('dependencies' in parseImageManifest(manifest({ dependencies: [], pathWhitelist: null })), false)
  })

  for (const [name, more] of Object.entries({
    'a dependency without a name': { dependencies: [{ imageID: `sha512-${'a'.repeat(64)}` }] },
    'a dependency pinned to no ID': { dependencies: [{ imageName: 'b', imageID: 'sha512-12' }] },
    'a dependency with a label twice': {
      dependencies: [{ imageName: 'b', labels: [1, 2].map((n) => ({ name: 'version', value: String(n) })) }],
    },
    'a whitelisted path that climbs': { pathWhitelist: ['/a/../../b'] },
    'a whitelisted path that is relative': { pathWhitelist: ['a'] },
  })) {
    it(`are refused with ${name}`, () =>
      assert.throws(() => parseImageManifest(manifest(more)), { code: 'MANIFEST_INVALID' }))
  }
})

describe('pod manifests', () => {
  const pod: PodManifest = {
    acKind: 'PodManifest',
    acVersion: '0.8.11',
    apps: [
      {
        name: acName('web'),
        image: { id: imageId(`sha256-${HEX}`), name: acIdentifier('a/b') },
        app: {
          exec: ['/bin/x', 'ünï'],
          user: '0',
          group: '0',
          supplementaryGIDs: [7],
          environment: [
            { name: 'A', value: 'secret' },
            { name: 'B', value: 'secret' },
          ],
          workingDirectory: '/',
          mountPoints: [
            { name: acName('data'), path: '/data', readOnly: true },
            { name: acName('more'), path: '/more', readOnly: false, optional: true },
          ],
          isolators: [{ name: 'resource/memory', value: { limit: '64M' } }],
          userAnnotations: { note: 'mine' },
          userLabels: {},
        },
        readOnlyRootFS: true,
        mounts: [{ volume: acName('tmp'), path: '/scratch' }],
        annotations: [{ name: 'c', value: 'd' }],
      },
    ],
    volumes: [
      { name: acName('data'), kind: 'host', source: '/srv', readOnly: false },
      { name: acName('tmp'), kind: 'empty' },
    ],
    isolators: [],
    annotations: [{ name: 'a', value: 'b' }],
    userAnnotations: {},
    userLabels: { team: 'x' },
  }

  it('come back from their canonical bytes as they were', () => {
    const canonical = podManifestBytes(pod)
    assert.deepEqual(parsePodManifest(canonical), pod)
    assert.deepEqual(podManifestBytes(parsePodManifest(canonical)), canonical)
  })

  it('are refused in any other spelling: the bytes are what was hashed', () => {
    assert.throws(() => parsePodManifest(bytes(pod)), { code: 'MANIFEST_INVALID' })
    assert.throws(() => parsePodManifest(utf8(`${new TextDecoder().decode(podManifestBytes(pod))} `)), {
      code: 'MANIFEST_INVALID',
    })
    assert.deepEqual(readPodManifest(JSON.parse(JSON.stringify(pod))), pod)
  })

  const [app] = pod.apps
  for (const [name, change] of Object.entries({
    'no app': { apps: [] },
    'two apps of one name': { apps: [app, app] },
    'an unknown member': { extra: 1 },
    'nothing to run': { apps: [{ ...app, app: { ...app?.app, exec: [] } }] },
    'an unknown member of an app': { apps: [{ ...app, app: { ...app?.app, ulimit: 1 } }] },
    'a bad image ID': { apps: [{ ...app, image: { id: 'sha256-x', name: 'a' } }] },
    'a variable with = in its name': {
      apps: [{ ...app, app: { ...app?.app, environment: [{ name: 'a=b', value: '' }] } }],
    },
    'an isolator without a value': { isolators: [{ name: 'a' }] },
    'a volume of an unknown kind': { volumes: [{ name: 'a', kind: 'magic' }] },
    'a volume with a relative source': { volumes: [{ name: 'a', kind: 'host', source: 'x' }] },
    'an empty volume with a source': { volumes: [{ name: 'a', kind: 'empty', source: '/etc' }] },
    'two volumes of one name': { volumes: [pod.volumes[0], pod.volumes[0]] },
    'apps that are no list': { apps: {} },
  })) {
    it(`are refused with ${name}`, () =>
      assert.throws(() => readPodManifest({ ...pod, ...change }), { code: 'MANIFEST_INVALID' }))
  }

  it('are measured without a single value of the environment, and equal values do not look alike', () => {
    const redacted = redactManifest(pod, (message) => hmac('sha256', Uint8Array.of(1, 2, 3), message))
    assert.ok(!new TextDecoder().decode(podManifestBytes(redacted)).includes('secret'))
    const [a, b] = redacted.apps[0]?.app.environment ?? []
    assert.match(a?.value ?? '', /^hmac-sha256:[0-9a-f]{64}$/)
    assert.notEqual(a?.value, b?.value)
    assert.equal(a?.name, 'A')
    const other = redactManifest(pod, (message) => hmac('sha256', Uint8Array.of(4), message))
    assert.notEqual(other.apps[0]?.app.environment[0]?.value, a?.value)
    assert.deepEqual(parsePodManifest(podManifestBytes(redacted)), redacted)
  })
})
