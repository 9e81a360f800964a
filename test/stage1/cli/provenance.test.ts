import assert from 'node:assert/strict'
import { join } from 'node:path'
import { writeImagePolicy } from '../../support/image-policy.ts'
import { busyboxTree, PodFixture, podsImpossible, putOciImage } from '../../support/pods.ts'

describe('who vouches for an image, at its launch', () => {
  let pods: PodFixture
  before(async function () {
    const reason = podsImpossible()
    if (reason !== undefined) {
      console.log(`      skipped: ${reason}`)
      this.skip()
    }
    pods = await PodFixture.start()
    putOciImage(pods.dir, busyboxTree(pods.work), { name: 'docker://registry.example/busybox:1' })
  })
  after(async () => {
    await pods?.stop()
  })
  beforeEach(() => pods.agent.launches.splice(0))

  const reject = { default: [{ type: 'reject' }], transports: { aci: { '': [{ type: 'insecureAcceptAnything' }] } } }
  const strict = () => writeImagePolicy(join(pods.work, 'strict'), reject)

  it('is refused by a policy that was tightened since it was fetched: nothing is measured, nothing starts', async () => {
    assert.equal((await pods.run(['busybox', '--', 'true'])).status, 0)
    pods.agent.launches.splice(0)
    const { status, stdout, stderr } = await pods.run([...strict(), 'busybox', '--', 'echo', 'started'])
    assert.deepEqual([status, stdout], [254, ''])
    assert.match(stderr, /docker:\/\/registry\.example\/busybox:1 is not admitted.*\(IMAGE_POLICY_REFUSES\)/s)
    assert.deepEqual(pods.agent.launches, [])
  })

  it('may be left out by name, which is measured', async () => {
    const { status } = await pods.run([...strict(), '--insecure-options=image', 'busybox', '--', 'true'])
    assert.equal(status, 0)
    assert.deepEqual(
      pods.agent.launches.map((launch) => launch['relaxed']),
      [['image']],
    )
  })

  it('is asked again when a prepared pod is launched', async () => {
    const prepared = await pods.cli([
      'prepare',
      '--quiet',
      ...pods.dirOption,
      ...pods.configOptions,
      'busybox',
      '--',
      'true',
    ])
    assert.equal(prepared.status, 0, prepared.stderr)
    const options = [...pods.dirOption, '--agent', pods.agent.socket, '--trust', pods.agent.trust]
    const refused = await pods.cli(['run-prepared', ...options, ...strict(), prepared.stdout.trim()])
    assert.equal(refused.status, 254)
    assert.match(refused.stderr, /IMAGE_POLICY_REFUSES/)
    const launched = await pods.cli(['run-prepared', ...options, ...pods.configOptions, prepared.stdout.trim()])
    assert.equal(launched.status, 0, launched.stderr)
  })
})
