import assert from 'node:assert/strict'
import { mayUse, PERMISSIONS, type Permission, ROLES } from '../../../attestation/api/permissions.ts'
import { DESCRIPTION_ROUTE, METRICS_ROUTE, ROUTES, STREAM_ROUTE } from '../../../attestation/api/routes.ts'

const routes = [...ROUTES, STREAM_ROUTE, METRICS_ROUTE, DESCRIPTION_ROUTE]

describe('who may what', () => {
  const writes: Record<(typeof ROLES)[number], Permission[]> = {
    viewer: [],
    auditor: [],
    operator: ['nodes:operate', 'nodes:label'],
    'policy-admin': [],
    admin: ['nodes:operate', 'nodes:label'],
  }
  for (const role of ROLES) {
    it(`lets ${role} write ${writes[role].join(' and ') || 'nothing'}`, () => {
      assert.deepEqual(
        [...PERMISSIONS[role]].filter((p) => !p.endsWith(':read')),
        writes[role],
      )
    })
  }

  it('keeps evidence and policies from viewers', () => {
    assert.equal(PERMISSIONS.viewer.has('evidence:read'), false)
    assert.equal(PERMISSIONS.viewer.has('policies:read'), false)
  })

  it('asks for a permission to write in each route that is no GET, and for one to read in each that is', () => {
    for (const { method, permission, path } of routes) {
      assert.equal(permission.endsWith(':read'), method === 'GET', `${method} ${path}`)
    }
  })

  it('has no permission that no route asks for', () => {
    const asked = new Set(routes.map(({ permission }) => permission))
    assert.deepEqual(
      [...PERMISSIONS.admin].filter((p) => !asked.has(p)),
      [],
    )
  })

  it('gives a token with labels nothing of the fleet, whatever its role', () => {
    const principal = { name: 'token x', role: 'admin' as const, labels: { zone: 'a' } }
    for (const route of routes) assert.equal(mayUse(principal, route), route.subject !== 'fleet', route.path)
    assert.deepEqual(
      routes.filter(({ subject }) => subject === 'fleet').map(({ path }) => path),
      ['/v1/policies', '/v1/nodes/{id}/labels', '/metrics'],
    )
  })
})
