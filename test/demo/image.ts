import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Ran, run } from '../support/holdfast.ts'

const APPLETS = ['sh', 'echo', 'cat', 'id', 'ls', 'sleep', 'true', 'uname']

/**
 * Builds an OCI image of Debian's static busybox with umoci.
 *
 * @param layout directory of the OCI layout; made where it is absent
 * @param ref name of the image in the layout
 * @param motd content of /etc/motd, so that two images differ
 */
export async function buildImage(directory: string, layout: string, ref: string, motd: string): Promise<void> {
  const image = `${layout}:${ref}`
  const bundle = join(directory, `bundle-${ref}`)
  if (!existsSync(layout)) await must('umoci', 'init', '--layout', layout)
  await must('umoci', 'new', '--image', image)
  await must('umoci', 'unpack', '--image', image, bundle)
  const root = join(bundle, 'rootfs')
  for (const name of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'usr']) mkdirSync(join(root, name))
  copyFileSync('/bin/busybox', join(root, 'bin/busybox'))
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet))
  writeFileSync(join(root, 'etc/motd'), motd)
  await must('umoci', 'repack', '--image', image, bundle)
  await must('umoci', 'config', '--image', image, '--config.cmd', '/bin/sh', '--config.env', 'PATH=/bin')
}

/** Copies an image of the layout to the registry. */
export async function pushImage(layout: string, ref: string, target: string): Promise<void> {
  await must('skopeo', 'copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:${ref}`, target)
}

async function must(program: string, ...args: readonly string[]): Promise<Ran> {
  const ran = await run(program, args)
  if (ran.status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${ran.status}: ${ran.stderr}`)
  return ran
}
