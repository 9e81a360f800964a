import assert from 'node:assert/strict'
import { LaunchPolicySet } from '../../../attestation/launch-policy/index.ts'
import type { EnterRequest } from '../../../attestation/protocol/index.ts'
import { launchRequest } from '../../support/launch-request.ts'

const NODE = {
  id: 'ab'.repeat(32),
  tier: 'affirming',
  admittedBy: 'operator',
  kind: 'machine' as const,
  labels: { enter: 'allowed' },
}
const POD = {
  uuid: '6f9619ff-8b86-4d01-b42d-00c04fc964ff',
  stage1: 'sha512-1',
  images: ['sha256-1'],
  unticketed: false,
}
const REQUEST: EnterRequest = {
  v: 1,
  action: 'enter',
  pod: POD.uuid,
  launch: 'cd'.repeat(32),
  app: 'web',
  program: '/bin/sh',
  argv: `hmac-sha256:${'ef'.repeat(32)}`,
  helper: '12'.repeat(32),
  node: NODE.id,
  mode: 'enforce',
  by: { uid: 0, gid: 0 },
}
const policies = (text: string): LaunchPolicySet => new LaunchPolicySet(new Map([['test.cedar', text]]))

describe('launch policies about entering pods', () => {
  it('leave it to nobody, whatever launches they permit', () => {
    for (const text of [
      '',
      'permit (principal, action, resource);',
      'permit (principal, action == Action::"launch", resource);',
    ]) {
      const decision = policies(text).decideEnter(NODE, REQUEST, POD)
      assert.equal(decision.allowed, false)
      assert.match(!decision.allowed ? decision.reasons[0] : '', /no launch policy permits entering pods/)
    }
  })

  it('permit launches where the action is left open, and speak of what only launches have', () => {
    const set = policies('permit (principal, action, resource) when { resource.network == "none" };')
    assert.equal(set.decide(NODE, launchRequest()).allowed, true)
  })

  const permitted = [
    'permit (principal, action == Action::"enter", resource) when { context.uid == 0 && context.app == "web" };',
    'permit (principal, action in [Action::"enter"], resource) when { context.program == "/bin/sh" };',
    'permit (principal, action in [Action::"launch", Action::"enter"], resource) when { principal.tier == "affirming" };',
    'permit (principal, action == Action::"enter", resource) when { resource.imageIds.contains("sha256-1") && !resource.unticketed };',
  ]
  for (const text of permitted) {
    it(`permit it by ${text.slice(19, 90)}`, () => {
      assert.equal(policies(text).decideEnter(NODE, REQUEST, POD).allowed, true)
    })
  }

  it('forbid it over a permit, and say what was asked for where none fits', () => {
    const permit = 'permit (principal, action == Action::"enter", resource) when { context.uid == 0 };\n'
    const forbid =
      '@id("no-shells") forbid (principal, action == Action::"enter", resource) when { context.program == "/bin/sh" };'
    const forbidden = policies(permit + forbid).decideEnter(NODE, REQUEST, POD)
    assert.deepEqual(forbidden.allowed ? [] : forbidden.deniedBy, ['no-shells'])
    const other = policies(permit).decideEnter(NODE, { ...REQUEST, by: { uid: 7, gid: 7 } }, POD)
    assert.match(other.allowed ? '' : other.reasons.join('\n'), /app web of pod .* program \/bin\/sh, user 7, group 7/)
  })

  it('are refused with the place of what an enter does not have', () => {
    const text =
      'permit (principal, action, resource);\n\npermit (principal, action == Action::"enter", resource)\nwhen { resource.network == "none" };'
    assert.throws(() => policies(text), {
      code: 'LAUNCH_POLICY_INVALID',
      message: /^test\.cedar:4:\d+: attribute `network`/,
    })
  })
})
