import { pino } from 'pino'
import { PodStopper } from '../../agent/pod-stop.ts'
import { isLocked } from '../../stage1/pod/pod-list.ts'

/** Ends one pod as an agent does that is told to, with the rights of whoever runs this: `stop-pod.ts UUID DIRECTORY`. */
const [uuid = '', directory = ''] = process.argv.slice(2)
const stopper = new PodStopper({
  open: () => (isLocked(directory) ? [uuid] : []),
  place: async () => directory,
  logger: pino({ level: 'error' }, process.stderr),
})
await stopper.stopAll('a test')
process.stdout.write(isLocked(directory) ? 'runs' : 'ended')
