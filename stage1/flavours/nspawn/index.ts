export { buildNspawnStage1, nspawnStage1Image, type Stage1BuildSettings } from './image.ts'
export {
  PRIVATE_USERS,
  SUPERVISOR,
  SUPERVISOR_ENVIRONMENT,
  type SupervisorSettings,
  supervisorArguments,
} from './supervisor.ts'
