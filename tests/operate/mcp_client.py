"""A client of another make, for tests/operate/mcp.rs: calls what stands on standard input, and prints what comes back."""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters, stdio_client


async def main():
    job = json.load(sys.stdin)
    server = StdioServerParameters(command=job["command"], args=job["args"], env=job["env"])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        hello = await session.initialize()
        told = hello.model_dump(mode="json", by_alias=True)
        tools = (await session.list_tools()).model_dump(mode="json", by_alias=True)["tools"]
        calls = []
        for name, arguments in job["calls"]:
            try:
                result = await session.call_tool(name, arguments)
                calls.append(result.model_dump(mode="json", by_alias=True))
            except Exception as error:  # The protocol's own errors are what is asked for, too.
                calls.append({"refused": str(error)})
        others = []
        for kind in (session.list_resources, session.list_prompts):
            try:
                others.append((await kind()).model_dump(mode="json", by_alias=True))
            except Exception as error:
                others.append({"refused": str(error)})
        json.dump({"server": told, "tools": tools, "calls": calls, "others": others}, sys.stdout)


asyncio.run(main())
