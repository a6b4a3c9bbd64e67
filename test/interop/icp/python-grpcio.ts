import { pythonWith, run } from '../python/environment.js'

/** What the tests were written with; any of this major version serves. */
export function pythonWithGrpcio(): Promise<string> {
  return pythonWith({ requirements: ['grpcio-tools>=1.70,<2'], name: 'python-grpcio', python: [3, 9] })
}

/** Has protoc make Python modules of the protos of this project. */
export function generatePython(python: string, protos: string, into: string): Promise<void> {
  const args = ['-m', 'grpc_tools.protoc', '-I', protos, `--python_out=${into}`, `--grpc_python_out=${into}`]
  const files = ['workload.proto', 'icp_workload.proto']
  return run(python, [...args, ...files], 'protoc of grpcio-tools could not read the protos')
}
