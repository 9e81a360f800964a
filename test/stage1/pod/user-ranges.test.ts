import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { tryFlock } from '../../../native/process/index.ts'
import { assemblePod, newPodUuid, type PodUuid } from '../../../stage1/pod/index.ts'
import { chooseRange, hostIds, type IdRange, withUserRange } from '../../../stage1/pod/user-ranges.ts'
import { fuzzRuns } from '../../support/fuzz.ts'
import { podManifest, shellApp } from '../../support/stage1-pods.ts'

const overlap = (a: IdRange, b: IdRange): boolean => a.first < b.first + b.count && b.first < a.first + a.count

describe('ranges of users', () => {
  let dir = ''
  const file = (): string => path.join(dir, 'user-ranges')
  const lines = (): string[] => fs.readFileSync(file(), 'utf8').split('\n').slice(0, -1)
  /** A pod as a launch makes it. */
  const launch = (uuid: PodUuid = newPodUuid(), reserved: readonly IdRange[] = []) =>
    withUserRange(
      dir,
      uuid,
      (range) => {
        const { pod } = assemblePod(dir, uuid, podManifest([shellApp('app', 'true')]))
        fs.closeSync(pod.fd)
        return { range, pod }
      },
      reserved,
    )

  beforeEach(() => {
    dir = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-ranges-'))
  })
  afterEach(() => fs.rmSync(dir, { recursive: true, force: true }))

  it('overlap nothing that is taken, whatever that is, until there is none', () => {
    const region = { first: 65536 * 5, count: 65536 * 8 }
    const taken = fc.array(fc.record({ first: fc.nat(65536 * 20), count: fc.integer({ min: 1, max: 65536 * 3 }) }))
    fc.assert(
      fc.property(fc.uuid(), taken, (uuid, ranges) => {
        const all = [...ranges]
        for (let range = chooseRange(uuid, all, region); range !== undefined; range = chooseRange(uuid, all, region)) {
          const found = range
          assert.ok(found.count === 65536 && found.first % 65536 === 0)
          assert.ok(found.first >= region.first && found.first + found.count <= region.first + region.count)
          assert.ok(!all.some((t) => overlap(t, found)))
          all.push(found)
        }
        // none is left, so each place has something in it
        for (let at = region.first; at < region.first + region.count; at += 65536) {
          assert.ok(all.some((t) => overlap(t, { first: at, count: 65536 })))
        }
      }),
      { numRuns: fuzzRuns(200) },
    )
  })

  it('are outside of what systemd gives away, and of every number that is negative to some program', () => {
    for (let i = 0; i < 200; i++) {
      const { first = 0, count = 0 } = chooseRange(randomUUID(), []) ?? {}
      assert.ok(first >= 0x7000_0000 && first + count <= 0x7ffe_0000)
    }
  })

  it('know users, groups and what is given to users of the host', () => {
    fs.writeFileSync(path.join(dir, 'passwd'), 'root:x:0:0::/:/bin/sh\nann:x:1879048192:7::/:/bin/sh\nodd\n')
    fs.writeFileSync(path.join(dir, 'group'), 'ann:x:1879113728:\n')
    fs.writeFileSync(path.join(dir, 'subuid'), 'ann:100000:65536\n\n# no line\nann:x:y\n')
    assert.deepEqual(hostIds(dir), [
      { first: 0, count: 1 },
      { first: 1879048192, count: 1 },
      { first: 1879113728, count: 1 },
      { first: 100000, count: 65536 },
    ])
  })

  it('are one for each pod, kept in the file, and free again when the pod is gone', () => {
    const pods = Array.from({ length: 20 }, () => launch())
    assert.equal(new Set(pods.map((p) => p.range.first)).size, 20)
    assert.deepEqual(lines().sort(), pods.map((p) => `${p.range.first} ${p.pod.uuid}`).sort())
    assert.equal(fs.statSync(file()).mode & 0o777, 0o600)
    const [gone, ...left] = pods
    fs.rmSync(gone?.pod.path ?? '', { recursive: true })
    const next = launch()
    assert.deepEqual(
      lines().sort(),
      [...left, next].map((p) => `${p.range.first} ${p.pod.uuid}`).sort(),
      'a killed launch leaves no range behind either: it has no pod',
    )
  })

  it('are of others where the host has taken what there is', () => {
    const first = launch(undefined, [{ first: 0, count: 0x7ffd_0000 }])
    assert.equal(first.range.first, 0x7ffd_0000)
    assert.throws(() => launch(undefined, [{ first: 0, count: 0x7ffd_0000 }]), { code: 'POD_USERS_EXHAUSTED' })
    fs.rmSync(first.pod.path, { recursive: true })
    assert.equal(launch(undefined, [{ first: 0, count: 0x7ffd_0000 }]).range.first, 0x7ffd_0000)
  })

  it('are taken by one at a time, and a file that is none stops everybody', () => {
    withUserRange(dir, newPodUuid(), () => {
      const other = fs.openSync(`${file()}.lock`, 'r')
      assert.equal(tryFlock(other, 'exclusive'), false)
      fs.closeSync(other)
    })
    fs.writeFileSync(file(), '1879048192 no-uuid\n')
    assert.throws(() => launch(), { code: 'POD_FILE_BAD' })
  })
})
