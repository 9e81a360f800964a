import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  LAUNCH_SCHEMA,
  type LaunchDecision,
  LaunchPolicySet,
  loadLaunchPolicies,
} from '../../../attestation/launch-policy/index.ts'
import type { LaunchRequest } from '../../../attestation/protocol/index.ts'
import { launchRequest, VIRTUAL_MACHINE } from '../../support/launch-request.ts'
import { tempDir } from '../../support/temp-dir.ts'

const root = join(import.meta.dirname, '../../..')
const node = {
  id: '1'.repeat(64),
  tier: 'affirming',
  admittedBy: 'operator',
  kind: 'machine' as const,
  labels: { zone: 'a' },
}
const set = (text: string): LaunchPolicySet => new LaunchPolicySet(new Map([['test.cedar', text]]))
const permit = '@id("all") permit (principal, action, resource);\n'
const reasons = (d: LaunchDecision): string => (d.allowed ? '' : d.reasons.join('\n'))
const withSigners = (...keys: string[][]) =>
  launchRequest({
    images: keys.map((signers) => ({
      ...(launchRequest().images[0] as ReturnType<typeof launchRequest>['images'][0]), // it has one
      signers: signers.map((key) => ({ key, checkedAt: '2026-01-01T00:00:00Z' })),
    })),
  })

/** One image for each policy; one that none was asked about for undefined. */
const letInBy = (...policies: (string | undefined)[]) => {
  const request = launchRequest()
  const images = policies.flatMap((sha256) =>
    request.images.map((image) => ({ ...image, ...(sha256 && { policy: { sha256, scope: 'default' } }) })),
  )
  return launchRequest({ images })
}

const LAN: Partial<LaunchRequest> = {
  network: 'cni',
  networks: [
    {
      name: 'lan',
      config: 'a'.repeat(64),
      args: [],
      plugins: [{ path: '/usr/lib/cni/bridge', sha256: 'b'.repeat(64) }],
    },
  ],
  ports: [{ name: 'web', protocol: 'tcp', podPort: 80, hostPort: 8080, hostIp: '127.0.0.1' }],
}

describe('launch policies', () => {
  it('permit nothing when there is none, and say so', () => {
    const decision = new LaunchPolicySet(new Map()).decide(node, launchRequest())
    assert.equal(decision.allowed, false)
    assert.match(reasons(decision), /there is no policy, so there is no launch/)
  })

  it('name the policy that permitted', () => {
    assert.deepEqual(set(permit).decide(node, launchRequest()), { allowed: true, allowedBy: ['all'] })
  })

  it('speak of the machine of a pod that is one, and of its absence', () => {
    const { machine, guest } = VIRTUAL_MACHINE
    const virtual = launchRequest({ stage1: { ...launchRequest().stage1, flavour: 'kvm', machine }, guest })
    const noEmulation = set(
      `${permit}forbid (principal, action, resource) when { resource has accelerator && resource.accelerator == "tcg" };`,
    )
    assert.equal(noEmulation.decide(node, virtual).allowed, false)
    assert.equal(noEmulation.decide(node, launchRequest()).allowed, true)
    const exact = set(
      `permit (principal, action, resource) when { resource has kernel && resource.kernel == "${machine.kernel}" &&
        resource has firmware && resource.firmware.contains({path: "/usr/share/seabios/bios-256k.bin", sha256: "${'c'.repeat(64)}"}) &&
        resource has memoryMiB && resource.memoryMiB <= 256 };`,
    )
    assert.equal(exact.decide(node, virtual).allowed, true)
    assert.equal(exact.decide(node, launchRequest()).allowed, false)
  })

  it('name a policy without @id by its file and line', () => {
    assert.deepEqual(set('\n\npermit (principal, action, resource);').decide(node, launchRequest()), {
      allowed: true,
      allowedBy: ['test.cedar:3'],
    })
  })

  it('deny in the words of the forbid that matched, whatever else permits', () => {
    const text = `${permit}@id("no-host") @description("no host network here") forbid (principal, action, resource) when { resource.network == "host" };`
    assert.equal(set(text).decide(node, launchRequest()).allowed, true)
    const decision = set(text).decide(node, launchRequest({ network: 'host' }))
    assert.deepEqual(decision, {
      allowed: false,
      deniedBy: ['no-host'],
      reasons: ['forbidden by policy "no-host" (test.cedar:2): no host network here'],
    })
  })

  it('tell the facts that could matter when no permit matches', () => {
    const decision = set(
      '@id("a") permit (principal, action, resource) when { principal.tier == "affirming" };',
    ).decide({ ...node, tier: 'warning' }, launchRequest())
    assert.match(reasons(decision), /no permit policy matched \(1 looked at: a\)/)
    assert.match(reasons(decision), /tier warning/)
    assert.match(reasons(decision), /zone=a/)
    assert.match(reasons(decision), new RegExp(launchRequest().stage1.tree))
    assert.match(reasons(decision), /busybox:1\.36/)
  })

  it('deny when a policy cannot be evaluated, though Cedar alone would leave it out', () => {
    const text = `${permit}@id("sum") forbid (principal, action, resource) when { resource.imageCount + 9223372036854775807 > 1 };`
    const decision = set(text).decide(node, launchRequest())
    assert.equal(decision.allowed, false)
    assert.match(reasons(decision), /"sum".*could not be evaluated/)
  })

  for (const [name, condition, request] of [
    ['labels', 'principal.labels.contains("zone=a")', launchRequest()],
    ['the stage1 tree', `resource.stage1Tree == "${launchRequest().stage1.tree}"`, launchRequest()],
    ['image IDs', `["${launchRequest().images[0]?.id}"].containsAll(resource.imageIds)`, launchRequest()],
    ['repositories', '["registry.example:5000/busybox"].containsAll(resource.imageRepositories)', launchRequest()],
    ['a key that signed every image', 'resource.signers.contains("k")', withSigners(['k', 'l'], ['k'])],
    ['image policies', `["${'ab'.repeat(32)}"].containsAll(resource.imagePolicies)`, letInBy('ab'.repeat(32))],
    ['volumes', 'resource.volumeSources.isEmpty()', launchRequest()],
    [
      'host programs',
      `resource.hostPrograms.contains({path: "/usr/bin/systemd-nspawn", sha256: "${'5'.repeat(64)}"})`,
      launchRequest(),
    ],
    [
      'networks by name and by content',
      `resource.network == "cni" && resource.networks == ["lan"] && resource.networkConfigs.contains("${'a'.repeat(64)}")`,
      launchRequest(LAN),
    ],
    [
      'plugins of networks as host programs',
      `resource.hostPrograms.contains({path: "/usr/lib/cni/bridge", sha256: "${'b'.repeat(64)}"})`,
      launchRequest(LAN),
    ],
    [
      'ports of the host',
      'resource.hostPorts.contains(8080) && resource.ports.contains({name: "web", protocol: "tcp", podPort: 80, hostPort: 8080, hostIp: "127.0.0.1"})',
      launchRequest(LAN),
    ],
    [
      'isolators',
      'resource.isolatorNames.contains("os/linux/seccomp-retain-set")',
      launchRequest({ isolators: [{ name: 'os/linux/seccomp-retain-set', value: '{}' }] }),
    ],
  ] as const) {
    it(`can speak of ${name}`, () => {
      const text = `permit (principal, action, resource) when { ${condition} };`
      assert.deepEqual(set(text).decide(node, request), { allowed: true, allowedBy: ['test.cedar:1'] })
    })
  }

  it('do not count a key that signed only one of two images', () => {
    const text = 'permit (principal, action, resource) when { resource.signers.contains("l") };'
    assert.equal(set(text).decide(node, withSigners(['k', 'l'], ['k'])).allowed, false)
    assert.equal(set(text).decide(node, withSigners([])).allowed, false)
  })

  it('count an image that no image policy was asked about', () => {
    const text = `permit (principal, action, resource) when { ["${'ab'.repeat(32)}"].containsAll(resource.imagePolicies) };`
    assert.equal(set(text).decide(node, letInBy('ab'.repeat(32), undefined)).allowed, false)
    assert.equal(set(text).decide(node, letInBy('ab'.repeat(32), 'cd'.repeat(32))).allowed, false)
  })

  it('count a check that one image left out as left out by the pod', () => {
    const text = `${permit}forbid (principal, action, resource) unless { resource.relaxed.isEmpty() };`
    assert.equal(set(text).decide(node, launchRequest({ relaxed: ['ondisk'] })).allowed, false)
    const [image] = launchRequest().images
    assert.ok(image)
    assert.equal(set(text).decide(node, launchRequest({ images: [{ ...image, relaxed: ['image'] }] })).allowed, false)
  })

  const wrong = [
    { name: 'text that is not Cedar', text: 'permit (principal,', message: /^test\.cedar:1:\d+: / },
    {
      name: 'an attribute that a pod does not have',
      text: `// é\n${permit}permit (principal, action, resource) when { resource.imageId == "x" };`,
      message: /^test\.cedar:3:\d+: .*imageId.*did you mean/,
    },
    {
      name: 'a comparison that can never be',
      text: 'permit (principal, action, resource) when { principal.tier == 1 };',
      message: /^test\.cedar:1:/,
    },
    {
      name: 'a policy that can never match',
      text: 'permit (principal, action, resource) when { false };',
      message: /^test\.cedar:1:/,
    },
    {
      name: 'an unknown action',
      text: 'permit (principal, action == Action::"lanch", resource);',
      message: /^test\.cedar:1:/,
    },
    { name: 'an unknown type', text: 'permit (principal is User, action, resource);', message: /^test\.cedar:1:/ },
    {
      name: 'a template',
      text: '\npermit (principal == ?principal, action, resource);',
      message: /^test\.cedar:2:1: a template/,
    },
    { name: 'one @id for two policies', text: permit + permit, message: /^test\.cedar:2:1: .*"all".*test\.cedar:1/ },
  ]
  for (const { name, text, message } of wrong) {
    it(`refuse ${name}, with file and line`, () => {
      assert.throws(() => set(text), { code: 'LAUNCH_POLICY_INVALID', message })
    })
  }

  it('list the mistakes of all files at once', () => {
    const files = new Map([
      ['a.cedar', 'permit (principal, action, resource) when { resource.foo };'],
      ['b.cedar', 'forbid'],
    ])
    assert.throws(() => new LaunchPolicySet(files), { message: /a\.cedar:1:.*\nb\.cedar:1:/ })
  })

  it('have one revision for the same files and another for any change, a large number included', () => {
    const long = (n: string): string => `permit (principal, action, resource) when { resource.imageCount < ${n} };`
    assert.equal(set(permit).revision, set(permit).revision)
    assert.notEqual(set(long('9007199254740992')).revision, set(long('9007199254740993')).revision)
    assert.match(set(permit).revision, /^[0-9a-f]{64}$/)
  })

  it('keep the order of policies apart from their numbering when there are more than ten', () => {
    const many = Array.from(
      { length: 12 },
      (_, i) => `permit (principal, action, resource) when { resource.imageCount == ${i} };`,
    )
    assert.deepEqual(
      set(many.join('\n')).policies.map((p) => p.line),
      many.map((_, i) => i + 1),
    )
  })

  describe('in a directory', () => {
    const dir = tempDir()
    after(() => dir.remove())

    it('are all *.cedar files in it, and nothing else', () => {
      writeFileSync(join(dir.path, 'a.cedar'), permit)
      writeFileSync(join(dir.path, 'notes.txt'), 'permit everything please')
      assert.deepEqual(
        loadLaunchPolicies(dir.path).policies.map((p) => p.id),
        ['all'],
      )
    })

    it('that is missing are an error, never an empty set', () => {
      assert.throws(() => loadLaunchPolicies(join(dir.path, 'none')), { code: 'LAUNCH_POLICY_UNREADABLE' })
    })

    it('may not be of absurd size or not UTF-8', () => {
      writeFileSync(join(dir.path, 'b.cedar'), Buffer.from([0xff, 0xfe]))
      assert.throws(() => loadLaunchPolicies(dir.path), { code: 'LAUNCH_POLICY_UNREADABLE' })
      writeFileSync(join(dir.path, 'b.cedar'), Buffer.alloc((1 << 20) + 1, 0x20))
      assert.throws(() => loadLaunchPolicies(dir.path), { code: 'LAUNCH_POLICY_UNREADABLE' })
    })
  })

  describe('that we ship as examples', () => {
    const examples = loadLaunchPolicies(join(root, 'config/policies'))

    it('permit a checked pod on an affirmed node and name who did', () => {
      assert.deepEqual(examples.decide(node, launchRequest()), { allowed: true, allowedBy: ['trusted-nodes'] })
    })

    for (const [what, facts, request] of [
      ['a node with a warning', { ...node, tier: 'warning' }, launchRequest()],
      ['a node without a verdict', { ...node, tier: 'none' }, launchRequest()],
      ['an agent that does not enforce', node, launchRequest({ mode: 'audit' })],
      ['the host network', node, launchRequest({ network: 'host' })],
      ['relaxed checks', node, launchRequest({ relaxed: ['image'] })],
    ] as const) {
      it(`deny ${what}`, () => assert.equal(examples.decide(facts, request).allowed, false))
    }

    it('permit the host network where an operator has labelled the node for it', () => {
      const labelled = { ...node, labels: { network: 'host' } }
      assert.equal(examples.decide(labelled, launchRequest({ network: 'host' })).allowed, true)
    })

    it('come with the schema that is enforced', () => {
      assert.equal(readFileSync(join(root, 'config/cedar/launch.cedarschema'), 'utf8'), LAUNCH_SCHEMA)
    })
  })
})
