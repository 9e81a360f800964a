import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buildStage1Program, STAGE1_PROGRAM } from '../../support/pods.ts'

/** Runs the program with the lock and three programs as descriptors 3 to 6. */
function stage1(...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  const fd = fs.openSync('/dev/null', 'r')
  try {
    const run = spawnSync(STAGE1_PROGRAM, argv, {
      stdio: ['ignore', 'pipe', 'pipe', fd, fd, fd, fd],
      encoding: 'utf8',
      timeout: 10_000,
    })
    return { status: run.status, stdout: run.stdout, stderr: run.stderr }
  } finally {
    fs.closeSync(fd)
  }
}

describe('holdfast-stage1', () => {
  let pod = ''
  const plan = (name: string, content: string): void => fs.writeFileSync(path.join(pod, 'plan', name), content)
  const launch = (): ReturnType<typeof stage1> => stage1('launch', path.join(pod, 'plan'), '3', '4', '5', '6')

  before(() => buildStage1Program())
  beforeEach(() => {
    pod = fs.mkdtempSync(path.join(tmpdir(), 'holdfast-launch-'))
    fs.mkdirSync(path.join(pod, 'plan'))
    plan('apps.list', 'app\0')
    plan('network', 'none\0')
  })
  afterEach(() => fs.rmSync(pod, { recursive: true, force: true }))

  it('is one static program that says its interface version', () => {
    assert.equal(stage1('--version').stdout, 'holdfast-stage1 interface 1\n')
    const content = fs.readFileSync(STAGE1_PROGRAM)
    assert.ok(!content.includes('/lib64/ld-linux') && !content.includes('ld-musl'))
  })

  it('refuses an unknown mode and none with 254', () => {
    assert.equal(stage1().status, 254)
    assert.equal(stage1('lunch').status, 254)
  })

  it('refuses to be init outside a pod', () => {
    const run = stage1('init')
    assert.equal(run.status, 254)
    assert.match(run.stderr, /PID 1/)
  })

  const refused: readonly { name: string; change: () => void; says: RegExp }[] = [
    { name: 'no network', change: () => fs.rmSync(path.join(pod, 'plan/network')), says: /network: No such file/ },
    { name: 'an unknown network', change: () => plan('network', 'bridge\0'), says: /wanted none, host or a path/ },
    { name: 'a network without its NUL', change: () => plan('network', 'none'), says: /does not end with a NUL/ },
    { name: 'two networks', change: () => plan('network', 'none\0host\0'), says: /2 items, wanted one/ },
    { name: 'no app', change: () => plan('apps.list', ''), says: /names 0 apps/ },
    { name: 'an app whose name is a path', change: () => plan('apps.list', '../etc\0'), says: /not an app name/ },
    { name: 'an app without a name', change: () => plan('apps.list', '\0'), says: /not an app name/ },
    {
      name: 'an app name of 129 bytes',
      change: () => plan('apps.list', `${'a'.repeat(129)}\0`),
      says: /not an app name/,
    },
    { name: '65 apps', change: () => plan('apps.list', 'a\0'.repeat(65)), says: /65 apps/ },
    { name: 'more apps than trees', change: () => plan('apps.list', 'a\0b\0'), says: /2 apps planned, 1 trees/ },
    {
      name: 'a list of 4 MiB and one byte',
      change: () => plan('network', 'x'.repeat((4 << 20) + 1)),
      says: /at most 4194304/,
    },
    { name: 'a list of 65537 items', change: () => plan('network', '\0'.repeat(65_537)), says: /at most 65536/ },
    {
      name: 'a plan file that is a link',
      change: () => {
        fs.rmSync(path.join(pod, 'plan/network'))
        fs.symlinkSync('/etc/passwd', path.join(pod, 'plan/network'))
      },
      says: /[Ss]ymbolic link/,
    },
    {
      name: 'a plan file that is a directory',
      change: () => {
        fs.rmSync(path.join(pod, 'plan/network'))
        fs.mkdirSync(path.join(pod, 'plan/network'))
      },
      says: /not a regular file/,
    },
  ]
  for (const { name, change, says } of refused) {
    it(`refuses a plan with ${name} with 254`, () => {
      change()
      const run = launch()
      assert.equal(run.status, 254, run.stderr)
      assert.match(run.stderr, /^holdfast launch: /)
      assert.match(run.stderr, says)
    })
  }

  for (const fd of ['', '-1', '3x', '99', '4294967296', '99999999999999999999']) {
    it(`refuses ${JSON.stringify(fd)} as a descriptor`, () => {
      const run = stage1('launch', path.join(pod, 'plan'), fd, '4', '5', '6')
      assert.equal(run.status, 254)
      assert.match(run.stderr, /pod lock/)
    })
  }
})
