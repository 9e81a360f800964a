import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canonicalJson } from '../../attestation/base/index.ts'
import { imageId } from '../../stage1/manifest/index.ts'
import { assemblePod, buildPodManifest, movePod, newPodUuid } from '../../stage1/pod/index.ts'
import { writePodSummary } from '../../stage1/pod/pod-summary.ts'
import { HOLDFAST_PROGRAM } from '../support/holdfast.ts'
import { firstByteMs } from './first-byte.ts'
import { type BenchRow, median } from './rows.ts'

const PODS = 500
const ROUNDS = 15
const TARGET_MS = 150

/** What a list cannot do without: each directory is read, opened, and its lock is tried. */
const LIMIT = `
use Fcntl qw(:flock O_RDONLY O_DIRECTORY);
for my $d (glob("$ARGV[0]/pods/*")) {
  opendir(my $dir, $d) or die; for my $p (grep { !/^[.]/ } readdir $dir) {
    sysopen(my $fd, "$d/$p", O_RDONLY | O_DIRECTORY) or die; flock($fd, LOCK_SH | LOCK_NB); close $fd; } }
print "x";
`

/** `holdfast list` of ended pods, to the first byte of the table, which is printed whole. */
export async function measure(): Promise<readonly BenchRow[]> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-list-'))
  try {
    for (let n = 0; n < PODS; n++) makePod(directory)
    const rows = execFileSync(HOLDFAST_PROGRAM, ['list', '--no-legend', '--dir', directory], { encoding: 'utf8' })
    if (rows.trim().split('\n').length !== 2 * PODS) throw new Error('the list is not whole')
    const table: number[] = []
    const json: number[] = []
    const limit: number[] = []
    for (let round = -2; round < ROUNDS; round++) {
      const times = [
        await firstByteMs([HOLDFAST_PROGRAM, 'list', '--dir', directory]),
        await firstByteMs([HOLDFAST_PROGRAM, 'list', '--format=json', '--dir', directory]),
        await firstByteMs(['perl', '-e', LIMIT, directory]),
      ] as const
      if (round < 0) continue
      table.push(times[0])
      json.push(times[1])
      limit.push(times[2])
    }
    const reference = median(limit)
    const row = (name: string, ours: number): Omit<BenchRow, 'target' | 'met'> => ({
      ...{ name, ours, reference, unit: 'ms', ratio: ours / reference },
      referenceWhat: 'perl that opens and locks each directory, and reads nothing',
    })
    const ours = median(table)
    return [
      { ...row('list-500', ours), target: `at most ${TARGET_MS} ms`, met: ours <= TARGET_MS },
      // has what status has, which is in five files of each pod and not in one
      { ...row('list-500, as JSON', median(json)), target: 'shown only', met: true },
    ]
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** A pod as it is after its launch, with a launch record of the usual length. */
function makePod(directory: string): void {
  const uuid = newPodUuid()
  const id = imageId(`sha256-${'ab'.repeat(32)}`)
  const app = {
    ...{ exec: ['/bin/web'], user: '0', group: '0', supplementaryGIDs: [], workingDirectory: '/', mountPoints: [] },
    ...{ isolators: [], userAnnotations: {}, userLabels: {}, ports: [] },
    environment: [{ name: 'PATH', value: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }],
  }
  const image = { id, reference: 'docker://registry.example/team/web:1', app, programLength: 1 }
  const manifest = buildPodManifest([image, image], [{}, {}], { hostname: 'web' })
  const { pod } = assemblePod(directory, uuid, manifest)
  const moved = movePod(directory, pod, 'run')
  const launch = {
    pod: { uuid, manifest },
    images: [{ name: image.reference }, { name: image.reference }],
    network: 'none',
  }
  const answer = { decision: 'allowed', request: canonicalJson(launch), ticket: 'x'.repeat(1500) }
  writeFileSync(join(moved.path, 'launch.json'), canonicalJson({ launch, answer, mode: 'enforce' }))
  writePodSummary(moved.path, 'enforce', manifest, launch.images)
  mkdirSync(join(moved.path, 'status'), { recursive: true })
  for (const { name } of manifest.apps) {
    const ended = {
      phase: 'ended',
      pid: 0,
      restarts: 0,
      oomKills: 0,
      startedAtMs: 1.7e12,
      finishedAtMs: 1.7e12,
      exitStatus: 0,
    }
    writeFileSync(join(moved.path, 'status', name), '0')
    writeFileSync(join(moved.path, 'status', `${name}.json`), JSON.stringify(ended))
  }
  writeFileSync(join(moved.path, 'status/_pod.json'), '{"phase":"ended","readyAtMs":1700000000000}')
  closeSync(pod.fd)
}
