import { createHash, randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { codeOf, messageOf } from '../base/index.ts'
import { StoreError } from '../store/index.ts'
import type { Authenticator } from './authenticator.ts'
import { DOCUMENT, describeRoute, libraryPath, methodsOf } from './description.ts'
import { EventStreams } from './event-streams.ts'
import { answerUnreadable, type HttpOptions, makeHttpServer } from './http-server.ts'
import { mayUse, type Permission, type Principal, type Subject } from './permissions.ts'
import { ApiError, errorOfStatus, PROBLEM_TYPE, problemOf } from './problem.ts'
import { type ApiSources, ImmutableBytes, type Route, type RouteDescription } from './route.ts'
import { DESCRIPTION_ROUTE, METRICS_ROUTE, ROUTES, STREAM_ROUTE } from './routes.ts'
import { Nothing } from './schemas.ts'
import { validated } from './validate.ts'

const MAX_BODY_BYTES = 16 << 10
/** What a wrong token takes of an address's share, beside the request itself. */
const GUESS_COST = 10
/**
 * Queries run in the process that attests nodes: so many milliseconds of one count as a request more. A token that has
 * 20 requests a second can take 200 ms of each second, whatever it asks.
 */
const MS_OF_A_REQUEST = 10
/** A year: what is named by its digest never changes. */
const IMMUTABLE = 'private, max-age=31536000, immutable'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Every route says who may use it; one that does not is not taken. */
    access?: { readonly permission: Permission; readonly subject: Subject }
  }
  interface FastifyRequest {
    principal: Principal | undefined
  }
}

/** How often something may be done, by key; attestation/verifier has one. */
export interface RateLimits {
  take(key: string, nowMs: number): boolean
  charge(key: string, nowMs: number, amount: number): void
  waitMs(key: string, nowMs: number): number
}

export interface ApiOptions extends HttpOptions {
  readonly streams: number
  readonly perAddress: RateLimits
  readonly perPrincipal: RateLimits
  readonly authenticator: Authenticator
}

/** From now on a route that does not say who may use it is no route: its registration throws a TypeError. */
export function demandAccess(app: FastifyInstance): void {
  app.addHook('onRoute', ({ config, method, url }) => {
    if (config?.access === undefined) throw new TypeError(`${String(method)} ${url} does not say who may use it`)
  })
}

/** @returns the API, not yet listening; close() ends all of it */
export async function makeApi(sources: ApiSources, options: ApiOptions, log: Logger): Promise<FastifyInstance> {
  const streams = new EventStreams(sources.store, log, options.streams)
  const gate = makeGate(options, log)
  const app: FastifyInstance = fastify({
    serverFactory: (handler) => makeHttpServer(handler, options),
    logger: false,
    genReqId: () => randomUUID(),
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    clientErrorHandler: answerUnreadable,
    frameworkErrors: (err, request, reply) => {
      // no hook has run before these: who has no token hears of nothing else
      gate(request, reply)
        .then(() => refuse(err, request, reply, log))
        .catch((refusal) => refuse(refusal, request, reply, log))
    },
  })
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(() => () => true) // validated() has the same schemas, and names what does not fit
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  app.decorateRequest('principal', undefined)
  demandAccess(app)
  app.addHook('onRequest', gate)
  app.addHook('preClose', async () => await streams.stop())
  app.setErrorHandler((err, request, reply) => refuse(err, request, reply, log))
  app.setNotFoundHandler((request, reply) => {
    const methods = methodsOf(
      [...ROUTES, STREAM_ROUTE, METRICS_ROUTE, DESCRIPTION_ROUTE],
      request.url.split('?')[0] ?? '',
    )
    const error =
      methods.length === 0
        ? new ApiError('NOT_FOUND', 'no such address; /v1/openapi.json has all')
        : new ApiError('METHOD_NOT_ALLOWED', `here are ${methods.join(', ')}`, [], { allow: methods.join(', ') })
    refuse(error, request, reply, log)
  })
  await app.register(swagger, { openapi: DOCUMENT, exposeHeadRoutes: false })
  for (const route of ROUTES) addRoute(app, route, sources, options.perPrincipal, log)
  addStream(app, streams, options.authenticator)
  app.route({
    ...libraryRoute(METRICS_ROUTE),
    handler: async (_, reply) => {
      const { type, text } = await sources.metrics()
      return reply.type(type).send(text)
    },
  })
  app.route({
    ...libraryRoute(DESCRIPTION_ROUTE),
    handler: async (request, reply) => answer(app.swagger(), request, reply),
  })
  await app.ready()
  return app
}

function libraryRoute(route: RouteDescription) {
  const { method, path, permission, subject } = route
  return {
    ...{ method, url: libraryPath(path), schema: describeRoute(route) },
    config: { access: { permission, subject } },
  }
}

function addRoute(
  app: FastifyInstance,
  route: Route,
  sources: ApiSources,
  perPrincipal: RateLimits,
  log: Logger,
): void {
  app.route({
    ...libraryRoute(route),
    handler: async (request, reply) => {
      const principal = principalOf(request)
      const asked = {
        principal,
        params: validated(route.params, request.params, 'parameter'),
        query: validated(route.query, request.query, 'parameter'),
        body: validated(route.body ?? Nothing, request.body ?? {}, 'body'),
      }
      const startMs = performance.now()
      let result: unknown
      try {
        result = await route.handle(asked, sources)
      } finally {
        const nowMs = performance.now()
        perPrincipal.charge(principal.name, nowMs, (nowMs - startMs) / MS_OF_A_REQUEST)
      }
      if (route.method !== 'GET') {
        log.info({ principal: principal.name, path: request.url }, 'carried out over the API')
      }
      return answer(result, request, reply)
    },
  })
}

/** What is answered has a tag by which it is known again; a change is a change of any byte. */
function answer(result: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const immutable = result instanceof ImmutableBytes
  const body = immutable ? Buffer.from(result.bytes) : JSON.stringify(result)
  reply.type(immutable ? result.type : 'application/json; charset=utf-8')
  if (request.method === 'POST') return reply.send(body)
  const digest = immutable ? result.sha256 : createHash('sha256').update(body).digest('base64url')
  const tag = `"${digest}"`
  reply.header('etag', tag)
  if (immutable) {
    reply.header('cache-control', IMMUTABLE)
    reply.header('content-disposition', `attachment; filename="${result.sha256}"`)
  } else reply.header('cache-control', 'private, no-cache')
  const known = request.headers['if-none-match']?.split(',').map((t) => t.trim().replace(/^W\//, '')) ?? []
  if (known.includes(tag) || known.includes('*')) {
    reply.removeHeader('content-type')
    return reply.code(304).send()
  }
  return reply.send(body)
}

function addStream(app: FastifyInstance, streams: EventStreams, authenticator: Authenticator): void {
  const access = { permission: STREAM_ROUTE.permission, subject: STREAM_ROUTE.subject }
  app.route({
    ...libraryRoute(STREAM_ROUTE),
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      validated(Nothing, request.query, 'parameter')
      const principal = principalOf(request)
      const after = lastEventId(request.headers['last-event-id'])
      const credential = credentialOf(request) ?? ''
      const stillMay = async (): Promise<boolean> => {
        const now = await authenticator.authenticate(credential)
        return now !== undefined && mayUse(now, access)
      }
      streams.checkRoom(principal)
      reply.hijack()
      const { raw } = reply
      raw.on('close', () => streams.remove(raw))
      raw.on('error', () => streams.remove(raw))
      for (const [name, value] of Object.entries(reply.getHeaders()))
        if (value !== undefined) raw.setHeader(name, value)
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      await streams.add({ principal, stillMay, response: raw }, after)
    },
  })
}

function lastEventId(text: string | string[] | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text)
  const detail = 'is the number of an event that was received'
  throw new ApiError('INVALID_PARAMETER', 'see errors', [{ header: 'Last-Event-ID', detail }])
}

/** Before anything is read of a request: who asks, how often, and whether that may be. */
function makeGate(options: ApiOptions, log: Logger) {
  const { perAddress, perPrincipal, authenticator } = options
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    reply.headers(SECURITY_HEADERS)
    if (options.tls !== undefined) reply.header('strict-transport-security', 'max-age=31536000')
    const nowMs = performance.now()
    if (!perAddress.take(request.ip, nowMs)) throw tooMany(perAddress.waitMs(request.ip, nowMs))
    const credential = credentialOf(request)
    const principal = credential === undefined ? undefined : await authenticator.authenticate(credential)
    if (principal === undefined) {
      if (credential !== undefined) {
        perAddress.charge(request.ip, nowMs, GUESS_COST)
        log.info({ remote: request.ip }, 'a token was refused')
      }
      const error = credential === undefined ? '' : ', error="invalid_token"'
      const headers = { 'www-authenticate': `Bearer realm="holdfast"${error}` }
      throw new ApiError('UNAUTHENTICATED', 'send Authorization: Bearer with a token of holdfast tokens', [], headers)
    }
    if (!perPrincipal.take(principal.name, nowMs)) throw tooMany(perPrincipal.waitMs(principal.name, nowMs))
    const { access } = request.routeOptions.config
    // what has no route is answered with 404, 405 or 400; all routes have it, or there would be no API
    if (access !== undefined && !mayUse(principal, access)) {
      const limited = Object.keys(principal.labels).length > 0 && access.subject === 'fleet'
      const why = limited
        ? 'it holds for some nodes, and this is of all'
        : `its role ${principal.role} does not have it`
      throw new ApiError('FORBIDDEN', `this needs ${access.permission}: ${why}`)
    }
    request.principal = principal
  }
}

const SECURITY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store', // of refusals and acts; what may be kept says so
  vary: 'Authorization',
}

function credentialOf(request: FastifyRequest): string | undefined {
  return /^Bearer +([^\s]+) *$/i.exec(request.headers.authorization ?? '')?.[1]
}

function principalOf(request: FastifyRequest): Principal {
  if (request.principal === undefined) throw new TypeError('a route was reached past the gate')
  return request.principal
}

function tooMany(waitMs: number): ApiError {
  return new ApiError('TOO_MANY_REQUESTS', 'more requests than there may be; wait', [], {
    'retry-after': String(Math.max(1, Math.ceil(waitMs / 1000))),
  })
}

/** Answers with a problem document; what nobody expected is in the log alone. */
function refuse(err: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): void {
  const error = asApiError(err)
  const problem = problemOf(error, request.id)
  if (problem.status >= 500) log.error({ err, requestId: request.id, path: request.url }, 'a request has failed')
  else log.debug({ requestId: request.id, status: problem.status, code: codeOf(err) }, 'a request is refused')
  reply.headers(error.headers).code(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem))
}

function asApiError(err: unknown): ApiError {
  if (err instanceof ApiError) return err
  if (err instanceof StoreError) {
    if (err.code === 'STORE_NODE_UNKNOWN') return new ApiError('NOT_FOUND', 'no node of this ID')
    if (err.code === 'STORE_CONFLICT') return new ApiError('CONFLICT', 'the store does not allow that; look again')
    return new ApiError('UNAVAILABLE', 'the store cannot be used now; see the log of the verifier')
  }
  const status = typeof err === 'object' && err !== null && 'statusCode' in err ? Number(err.statusCode) : 500
  return errorOfStatus(status)
}

export interface RunningApi {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

/** @throws what listening throws, with nothing left open */
export async function startApi(
  address: { readonly host: string; readonly port: number },
  sources: ApiSources,
  options: ApiOptions,
  log: Logger,
): Promise<RunningApi> {
  const app = await makeApi(sources, options, log)
  try {
    await app.listen({ host: address.host, port: address.port })
  } catch (err) {
    await app.close()
    throw err
  }
  const bound = app.server.address() as AddressInfo // it listens on TCP
  app.server.on('tlsClientError', (err: Error) => log.debug({ reason: messageOf(err) }, 'TLS handshake failed'))
  return {
    host: bound.address,
    port: bound.port,
    close: async () => await app.close(),
  }
}
