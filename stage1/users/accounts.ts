import fs from 'node:fs'
import { codeOf } from '../../attestation/base/index.ts'

/** Fetches and parses images where root says so, and owns the store. It may look at pods like its group. */
export const STORE_USER = 'holdfast'
/** Its members may look: at images, pods and their state. */
export const LOOK_GROUP = 'holdfast'
/** Its members may fetch images, and remove what they fetched. */
export const ADMIN_GROUP = 'holdfast-admin'
/** What the agent runs as, where it is not root. */
export const AGENT_USER = 'holdfast-agent'

/** A user of the machine. */
export interface User {
  readonly name: string
  readonly uid: number
  /** Of its primary group. */
  readonly gid: number
}

/**
 * A user by the file of passwd(5). Users of a directory service are not found: who may write what is believed at a launch
 * must not depend on an answer from a network.
 */
export function findUser(name: string, file = '/etc/passwd'): User | undefined {
  const [, , uid, gid] = lineOf(file, name) ?? []
  return isId(uid) && isId(gid) ? { name, uid: Number(uid), gid: Number(gid) } : undefined
}

/** The number of a group by the file of group(5). */
export function findGroup(name: string, file = '/etc/group'): number | undefined {
  const [, , gid] = lineOf(file, name) ?? []
  return isId(gid) ? Number(gid) : undefined
}

/** Users and groups that the image store is shared with; undefined where they have not been made. */
export interface StoreOwners {
  readonly user: User
  readonly adminGroup: number
  readonly lookGroup: number
}

export function storeOwners(): StoreOwners | undefined {
  const [user, adminGroup, lookGroup] = [findUser(STORE_USER), findGroup(ADMIN_GROUP), findGroup(LOOK_GROUP)]
  return user && adminGroup !== undefined && lookGroup !== undefined ? { user, adminGroup, lookGroup } : undefined
}

/**
 * Whether what a file of the store says counts at a launch: it was written by root, or by the user that root has images
 * parsed by. Whoever else may write there has nothing to say about who signed an image, or what its files are.
 */
export function vouches(uid: number): boolean {
  return uid === 0 || uid === findUser(STORE_USER)?.uid
}

/** As vouches, for a fetch, which may also build on what its own user has written. */
export function believes(uid: number): boolean {
  return uid === process.geteuid?.() || vouches(uid)
}

function lineOf(file: string, name: string): readonly string[] | undefined {
  try {
    return fs
      .readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([first]) => first === name)
  } catch (err) {
    if (codeOf(err) === 'ENOENT') return undefined
    throw err
  }
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) && Number(text) < 0xffff_ffff
}
