/** The generated contract: messages, enums and services. */
import { KeyService } from "./gen/tokenauthority/v1/key_pb.js";
import { ProjectService } from "./gen/tokenauthority/v1/project_pb.js";
import { RoleService } from "./gen/tokenauthority/v1/role_pb.js";
import { SessionService } from "./gen/tokenauthority/v1/session_pb.js";
import { TokenService } from "./gen/tokenauthority/v1/token_pb.js";

export * from "./gen/tokenauthority/v1/error_pb.js";
export * from "./gen/tokenauthority/v1/key_pb.js";
export * from "./gen/tokenauthority/v1/project_pb.js";
export * from "./gen/tokenauthority/v1/role_pb.js";
export * from "./gen/tokenauthority/v1/session_pb.js";
export * from "./gen/tokenauthority/v1/token_pb.js";

/** All services of the contract. */
export const services = [SessionService, TokenService, RoleService, ProjectService, KeyService] as const;
