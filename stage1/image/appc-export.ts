import { type App, acIdentifierFrom, type ImageManifest } from '../manifest/index.ts'
import { isType, S_IFREG } from './erofs-format.ts'
import { readTreeFile } from './tree-entries.ts'

const MAX_PASSWD_BYTES = 1024 * 1024
const AC_IDENTIFIER = /^[a-z0-9]+([-._~/][a-z0-9]+)*$/
/** What appc calls machines that OCI calls otherwise. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  '386': 'i386',
  arm64: 'aarch64',
  arm: 'armv7l',
  ppc64le: 'ppc64le',
}

/**
 * The manifest of an OCI image as an ACI must have it: appc wants an absolute program, a group, and names of
 * annotations in its own form. The program is looked for as it would be at a launch, the group is that of the user in
 * the image's /etc/passwd.
 *
 * @param name what the ACI is called
 * @param fd of the image's verified tree
 */
export function appcManifest(manifest: ImageManifest, name: string, fd: number): ImageManifest {
  const { app, labels, annotations, ...rest } = manifest
  return {
    ...rest,
    name: acIdentifierFrom(name),
    labels: labels.map((l) => (l.name === 'arch' ? { name: 'arch', value: ARCHITECTURES[l.value] ?? l.value } : l)),
    ...(app !== undefined && app.exec.length > 0 && { app: appcApp(app, fd) }),
    annotations: annotations.filter((a) => AC_IDENTIFIER.test(a.name)),
  }
}

function appcApp(app: App, fd: number): App {
  const [program = '', ...args] = app.exec
  return { ...app, exec: [absolute(program, app, fd), ...args], group: app.group ?? groupOf(app.user, fd) }
}

function absolute(program: string, app: App, fd: number): string {
  if (program.startsWith('/')) return program
  if (program.includes('/')) return `${app.workingDirectory.replace(/\/$/, '')}/${program}`
  const directories = app.environment.find((v) => v.name === 'PATH')?.value.split(':') ?? []
  const found = directories.find((directory) => {
    const file = directory.startsWith('/') ? readTreeFile(fd, `${directory}/${program}`, 0) : undefined
    return file !== undefined && isType(file.inode.mode, S_IFREG) && (file.inode.mode & 0o111) !== 0
  })
  return `${found ?? ''}/${program}`
}

/** As at a launch: that of /etc/passwd, or 0 for a user that is not in it. */
function groupOf(user: string, fd: number): string {
  const passwd = readTreeFile(fd, '/etc/passwd', MAX_PASSWD_BYTES)?.start.toString('latin1') ?? ''
  const line = passwd
    .split('\n')
    .map((l) => l.split(':'))
    .find(([n, , uid]) => n === user || uid === user)
  return line?.[3] ?? '0'
}
