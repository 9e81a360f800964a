/** What a route of the API can ask for. */
export type Permission =
  | 'description:read'
  | 'summary:read'
  | 'metrics:read'
  | 'nodes:read'
  | 'launches:read'
  | 'events:read'
  | 'evidence:read'
  | 'policies:read'
  | 'nodes:operate'
  | 'nodes:label'

export const ROLES = ['viewer', 'auditor', 'operator', 'policy-admin', 'admin'] as const
export type Role = (typeof ROLES)[number]

const VIEW = ['description:read', 'summary:read', 'metrics:read', 'nodes:read', 'launches:read', 'events:read'] as const
const AUDIT = [...VIEW, 'evidence:read', 'policies:read'] as const
const OPERATE = [...AUDIT, 'nodes:operate', 'nodes:label'] as const

/**
 * The one table of who may what. Policies are not written over the API: a policy administrator reads them and sees what
 * they lead to.
 */
export const PERMISSIONS: Readonly<Record<Role, ReadonlySet<Permission>>> = {
  viewer: new Set(VIEW),
  auditor: new Set(AUDIT),
  operator: new Set(OPERATE),
  'policy-admin': new Set([...VIEW, 'policies:read']),
  admin: new Set(OPERATE),
}

export function isRole(word: string): word is Role {
  return Object.hasOwn(PERMISSIONS, word)
}

/** Who asks, once that is proved. */
export interface Principal {
  /** As in the records of operators' acts. */
  readonly name: string
  readonly role: Role
  /** The role holds for nodes that have all of these; for the fleet where there is none. */
  readonly labels: Readonly<Record<string, string>>
}

/**
 * What a route is about: nodes, of which a principal with labels has some, or the fleet, of which it has nothing.
 * `none` is what tells of neither.
 */
export type Subject = 'nodes' | 'fleet' | 'none'

export function mayUse(
  principal: Principal,
  route: { readonly permission: Permission; readonly subject: Subject },
): boolean {
  if (!PERMISSIONS[principal.role].has(route.permission)) return false
  return route.subject !== 'fleet' || Object.keys(principal.labels).length === 0
}
