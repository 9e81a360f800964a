import type { FastifySchema } from 'fastify'
import { PROBLEM_TYPE } from './problem.ts'
import type { RouteDescription } from './route.ts'
import { ProblemDocument } from './schemas.ts'

/** What the description says beside the routes. */
export const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'Holdfast verifier',
    description: 'Nodes, what they have proved, what they were allowed to launch.',
    version: '1',
  },
  components: { securitySchemes: { token: { type: 'http' as const, scheme: 'bearer' } } },
  security: [{ token: [] }],
}

/** As the HTTP library writes it: /v1/nodes/:id */
export function libraryPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1')
}

/** @returns what @fastify/swagger makes an operation of */
export function describeRoute(route: RouteDescription): FastifySchema {
  const { answers, media = [], params, query, body } = route
  const content = {
    ...(answers !== undefined && { 'application/json': { schema: answers } }),
    ...Object.fromEntries(media.map((type) => [type, { schema: {} }])),
  }
  return {
    ...{ summary: route.summary, description: `Needs the permission ${route.permission}.` },
    operationId: operationId(route),
    ...(route.path.includes('{') && { params }),
    ...(Object.keys(query['properties'] ?? {}).length > 0 && { querystring: query }),
    ...(body !== undefined && Object.keys(body['properties'] ?? {}).length > 0 && { body }),
    response: {
      200: { description: 'what was asked for', content },
      default: { description: 'a refusal (RFC 9457)', content: { [PROBLEM_TYPE]: { schema: ProblemDocument } } },
    },
  }
}

/** GET /v1/nodes/{id}/verdicts: getNodesIdVerdicts */
function operationId({ method, path }: RouteDescription): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '' && word !== 'v1')
  return method.toLowerCase() + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
}

/** @returns the methods that a path has, none where there is no such path */
export function methodsOf(routes: readonly RouteDescription[], path: string): string[] {
  const parts = path.split('/')
  const fits = (route: RouteDescription): boolean => {
    const wanted = route.path.split('/')
    return (
      wanted.length === parts.length && wanted.every((w, i) => (w.startsWith('{') ? parts[i] !== '' : w === parts[i]))
    )
  }
  const methods = new Set<string>(routes.filter(fits).map(({ method }) => method))
  if (methods.has('GET')) methods.add('HEAD')
  return [...methods].sort()
}
